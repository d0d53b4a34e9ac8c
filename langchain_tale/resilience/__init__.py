"""Surviving failure: what to retry, whom to ask instead, and when to stop."""
