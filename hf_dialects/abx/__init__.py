"""ABX: what do representations tell apart. Takes arrays and a table of attributes. Layer 2.

    from hf_dialects.abx import abx

    result = abx(vectors, attributes, on="dialect", by=("sentence_id",), differ=("speaker",))
    print(result, result.interval(by="speaker"))

The function has the name of the package; the package's other names are modules.
"""

from importlib import import_module

_MODULES = {
    "abx": "score",
    "ABXResult": "result",
    "PermutationBand": "significance",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
