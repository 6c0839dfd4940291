"""Optional dependencies: found without importing them, required with the pip line. Layer 0."""

import importlib
from importlib.util import find_spec
from types import ModuleType

from hf_dialects.errors import MissingExtra


def has(module: str) -> bool:
    """Whether `module` can be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except ValueError:  # blocked in this process: sys.modules holds None
        return False


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or raise `MissingExtra` naming the extra that brings it."""
    if not has(module):
        raise MissingExtra(f"{module} is not installed; run: pip install 'hf-dialects[{extra}]'")
    return importlib.import_module(module)
