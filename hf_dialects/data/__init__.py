"""Corpora: reading them into one schema, checking them, splitting them without leaks. Layer 1."""

# not lazy: the modules of these names would take their places as soon as anything imports them
from hf_dialects.data.leakage import leakage
from hf_dialects.data.place_split import place_split
from hf_dialects.lazy import lazy_names

_MODULES = {
    "check_corpus": "check",
    "decode": "audio",
    "encode": "audio",
    "features": "schema",
    "group_folds": "splits",
    "group_split": "splits",
    "load_corpus": "load",
    "load_embedded": "synthetic",
    "load_fixture": "synthetic",
    "low_resource_subsets": "subsets",
    "place_leakage": "place_split",
    "resample": "audio",
    "subset_overlap": "subsets",
}

__all__ = ["leakage", "place_split", *_MODULES]

__getattr__, __dir__ = lazy_names(globals(), _MODULES)
