"""Who says the same where: sites, groups of sites, sentences, and every ordered pair of sites.

Dimensions: N utterances, S sites, I sentences, n queries and m targets of a pair of sites.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_codes, as_numpy

FEWEST = 2  # shared sentences; with one the only target is right


@dataclass(frozen=True)
class Pair:
    """An ordered pair of sites and the sentences that both have.

    Attributes:
        source, target: numbers of the sites.
        queries, targets: (n,) and (m,) numbers of utterances.
        right: (n, m) bool, the target says what the query says; at least one in every row.
    """

    source: int
    target: int
    queries: np.ndarray
    targets: np.ndarray
    right: np.ndarray


class Parallel:
    """Parallel sentences of several sites.

    Attributes:
        site, sentence: (N,) numbers of each utterance's site and sentence.
        sites, sentences, groups: their names, sorted.
        places: what sites are called, by their column: "sites", or such as "values of speaker".
        group_of_site: (S,) number of each site's group.
        pairs: ordered pairs of sites with at least two sentences in common.
        left_out: how many have fewer.

    Raises:
        DialectError: columns that are missing, of another length or with missing values; a site in two groups; no pair.
    """

    def __init__(self, attributes, n: int, site: str, sentence_id: str, group: str | None):
        self._attributes, self._n = attributes, n
        self.places = "sites" if site == "site" else f"values of {site}"
        self.site, self.sites = self._factor(site)
        self.sentence, self.sentences = self._factor(sentence_id)
        of_utterance, self.groups = (np.zeros(n, int), np.array(["all"])) if group is None else self._factor(group)
        self.group_of_site = of_utterance[np.unique(self.site, return_index=True)[1]]
        wrong = np.flatnonzero(of_utterance != self.group_of_site[self.site])
        if len(wrong):
            raise DialectError(
                f"{site} {self.sites[self.site[wrong[0]]]!r} is in several values of {group}; expected one for each "
                f"{site}, or group=None"
            )
        self.pairs = list(self._pairs())
        n_sites = len(self.sites)
        self.left_out = n_sites * (n_sites - 1) - len(self.pairs)
        if not self.pairs:
            raise DialectError(
                f"no two of {n_sites} values of {site} share {FEWEST} values of {sentence_id}: there is nothing to "
                "retrieve. Parallel sentences need the same id wherever they are said"
            )

    def column(self, name: str) -> np.ndarray | None:
        """The attribute `name` (N,), None where there is none."""
        if name not in self._attributes:
            return None
        values = as_numpy(self._attributes[name])
        if values.shape != (self._n,):
            raise DialectError(f"{name} has shape {values.shape}; expected one value for each of {self._n} utterances")
        return values

    def _factor(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(self._attributes, (Mapping, pd.DataFrame)):
            raise DialectError(f"attributes is a {type(self._attributes).__name__}; expected a DataFrame or a dict")
        values = self.column(name)
        if values is None:
            found = ", ".join(map(str, self._attributes)) or "none"
            raise DialectError(f"there is no attribute {name!r}; found: {found}")
        codes = as_codes(name, values, self._n)
        return codes, values[np.unique(codes, return_index=True)[1]]

    def _pairs(self) -> Iterator[Pair]:
        members = [np.flatnonzero(self.site == number) for number in range(len(self.sites))]
        for source, of_source in enumerate(members):
            for target, of_target in enumerate(members):
                shared = np.intersect1d(self.sentence[of_source], self.sentence[of_target])
                if source != target and len(shared) >= FEWEST:
                    queries = of_source[np.isin(self.sentence[of_source], shared)]
                    targets = of_target[np.isin(self.sentence[of_target], shared)]
                    right = self.sentence[queries][:, None] == self.sentence[targets]
                    yield Pair(source, target, queries, targets, right)
