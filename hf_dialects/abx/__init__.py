"""ABX: what do representations tell apart. Takes arrays and a table of attributes. Layer 2.

    from hf_dialects.abx import abx

    result = abx(vectors, attributes, on="dialect", by=("sentence_id",), differ=("speaker",))
    print(result, result.interval(by="speaker"))

The function has the name of the package; the package's other names are modules.
"""

from hf_dialects.lazy import lazy_names

_MODULES = {
    "abx": "score",
    "ABXResult": "result",
    "PermutationBand": "significance",
}

__all__ = sorted(_MODULES)

__getattr__, __dir__ = lazy_names(globals(), _MODULES)
