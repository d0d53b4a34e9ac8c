"""A local OpenRouter: the same API on loopback, a small real model behind it, faults on demand.

It stands on the other side of the wire, so it shares nothing with the client but the
catalogue. Needs the extra `langchain-tale[local]`.
"""

from langchain_tale.sandbox.batches import BatchManner
from langchain_tale.sandbox.engines import ScriptedEngine
from langchain_tale.sandbox.faults import FAULT_KINDS, Fault
from langchain_tale.sandbox.keys import KeyTerms
from langchain_tale.sandbox.pieces import LOCAL_MODEL, SandboxError
from langchain_tale.sandbox.plans import FaultMix
from langchain_tale.sandbox.server import SANDBOX_KEY, Sandbox

__all__ = [
    "FAULT_KINDS",
    "LOCAL_MODEL",
    "SANDBOX_KEY",
    "BatchManner",
    "Fault",
    "FaultMix",
    "KeyTerms",
    "Sandbox",
    "SandboxError",
    "ScriptedEngine",
]
