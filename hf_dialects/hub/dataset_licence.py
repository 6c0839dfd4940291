"""Licences of single recordings, and which of them let a recording be passed on."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from hf_dialects.hub.dataset_facts import BY_ROW, Facts

COLUMN = "license"
ADDRESS = re.compile(r"https?://(www\.)?creativecommons\.org/(licenses|publicdomain)/")
OPEN = re.compile(
    r"(cc-?0|cc-zero|cc-by(-nc)?(-sa)?|cc-mark|public-domain|pddl|odc-by|odbl|apache|mit)([-/][v\d].*)?", re.DOTALL
)


def may_be_shared(licence: str) -> bool:
    """Whether a licence is known to let everybody pass a recording on, cut and converted as well.

    Creative Commons without "no derivatives", by name or address, the public domain, and the licences of open data and
    software. A licence that is not known does not.
    """
    name = re.sub(r"[\s_]+", "-", ADDRESS.sub("cc-", licence.strip().casefold()))
    return OPEN.fullmatch(name.replace("creative-commons", "cc")) is not None


def shared_rows(licences: Sequence[str | None] | None, n: int, facts: Facts) -> tuple[np.ndarray, Counter]:
    """Which of `n` recordings may be shared, (n,) bool, and how many may not, by licence.

    Args:
        licences: of the recordings, as far as they have their own; those without are under the corpus' licence, unless
            the rows decide: then they are not shared.
    """
    licences = [None] * n if licences is None else licences
    without = facts.sharing != BY_ROW
    kept = np.array([without if one is None else may_be_shared(one) for one in licences], dtype=bool)
    refused = Counter(one or "none given" for one, good in zip(licences, kept, strict=True) if not good)
    return kept, refused
