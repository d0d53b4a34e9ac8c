"""Loading a dumped `ChatOpenRouter` again.

`langchain_core.load.load` revives only classes that a list inside langchain-core names, and no
entry point adds to it. This does; a caller still has to trust us by name:
`load(dumped, allowed_objects="all", valid_namespaces=["langchain_tale"])`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def allow_loading(path: tuple[str, ...]) -> None:
    """Add a class to what `allowed_objects="all"` allows.

    Args:
        path: The parts of its module, then its name.
    """
    loader: Any = import_module("langchain_core.load.load")
    loader.ALL_SERIALIZABLE_MAPPINGS[path] = path
    getattr(loader, "_default_class_paths_cache", {}).pop("all", None)
