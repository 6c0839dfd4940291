"""What retrieval between sites found: by group of sites, pair, site and sentence, beside its controls.

Rows are sources, columns are targets. Every mean is over ordered pairs of sites, each the mean over its queries.

Dimensions: Q queries, one for every utterance of a source and every target site; G groups, S sites.
"""

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from hf_dialects.errors import DialectError
from hf_dialects.metrics.intervals import Interval
from hf_dialects.retrieval import tables
from hf_dialects.retrieval.controls import SEQSIM
from hf_dialects.retrieval.draws import interval_over_pairs, mean_over_pairs
from hf_dialects.retrieval.parallel import Parallel

HEADLINE = "recall@1"


@dataclass(frozen=True)
class Outcome:
    """How one way to retrieve fared.

    Attributes:
        credit: name of a metric → (Q,) float64, what each query earned.
        chance: the same with all targets equally similar.
        tied: (Q,) bool, a wrong target is as similar as the best right one; its credit is that on average over orders.
    """

    credit: dict[str, np.ndarray]
    chance: dict[str, np.ndarray]
    tied: np.ndarray


@dataclass(frozen=True)
class RetrievalResult:
    """Retrieval between all ordered pairs of sites that share sentences.

    Attributes:
        parallel: sites, groups, sentences.
        source, target, sentence, utterance: (Q,) int64: sites, sentence and utterance of each query.
        outcomes: way to retrieve → how it fared; "SeqSim" first.
        hubs: DataFrame, a row per target site and score ("SeqSim", "CSLS"): skewness of how often its utterances come
            first, the utterance that does so most often, and its share of the queries.
        overlap: DataFrame, a row per fifth of the share of common words: low, high, n and the metrics; None without the
            attribute `text`.
        notes: what the numbers depend on, in sentences.
    """

    parallel: Parallel
    source: np.ndarray
    target: np.ndarray
    sentence: np.ndarray
    utterance: np.ndarray
    outcomes: dict[str, Outcome]
    hubs: pd.DataFrame
    overlap: pd.DataFrame | None
    notes: tuple[str, ...]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics: recall@k for the k asked for, and mrr (mean reciprocal rank)."""
        return list(self.outcomes[SEQSIM].credit)

    @property
    def value(self) -> float:
        """Recall@1 of SeqSim, the mean over all ordered pairs of sites."""
        return self._mean(self._credit(HEADLINE, SEQSIM))

    @cached_property
    def matrix(self) -> pd.DataFrame:
        """Group x group recall@1; NaN where there is no pair of two sites, as within a group of one."""
        return self.groups()

    @cached_property
    def sites(self) -> pd.DataFrame:
        """Every site: site, group, and metrics with it as the source ("from") and as the target ("to")."""
        table = {"site": self.parallel.sites, "group": self.parallel.groups[self.parallel.group_of_site]}
        for name in self.metrics:
            between = self.between_sites(name).to_numpy()
            table[f"{name} from"], table[f"{name} to"] = _nanmean(between, 1), _nanmean(between, 0)
        return pd.DataFrame(table)

    @cached_property
    def sentences(self) -> pd.DataFrame:
        """Every sentence that is a query: sentence, n queries, metrics and chance of recall@1; the hardest first."""
        found, code = np.unique(self.sentence, return_inverse=True)
        n = np.bincount(code)
        table = {"sentence": self.parallel.sentences[found], "n": n}
        for name, credit in self.outcomes[SEQSIM].credit.items():
            table[name] = np.bincount(code, credit) / n
        table["chance"] = np.bincount(code, self.outcomes[SEQSIM].chance[HEADLINE]) / n
        return pd.DataFrame(table).sort_values(HEADLINE, kind="stable", ignore_index=True)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Every ordered pair: source, target, their groups, n queries, metrics, chance of recall@1, share of ties."""
        n_sites = len(self.parallel.sites)
        found, code = np.unique(self.source * n_sites + self.target, return_inverse=True)
        source, target = np.divmod(found, n_sites)
        groups = self.parallel.groups[self.parallel.group_of_site]
        n, outcome = np.bincount(code), self.outcomes[SEQSIM]
        table = {"source": self.parallel.sites[source], "target": self.parallel.sites[target]}
        table |= {"source_group": groups[source], "target_group": groups[target], "n": n}
        values = {**outcome.credit, "chance": outcome.chance[HEADLINE], "ties": outcome.tied}
        table |= {name: np.bincount(code, value) / n for name, value in values.items()}
        return pd.DataFrame(table)

    @cached_property
    def controls(self) -> pd.DataFrame:
        """Every way to retrieve: its metrics, chance of recall@1, and share of queries that were tied."""
        rows = {}
        for name, outcome in self.outcomes.items():
            values = {metric: self._mean(credit) for metric, credit in outcome.credit.items()}
            rows[name] = {**values, "chance": self._mean(outcome.chance[HEADLINE]), "ties": self._mean(outcome.tied)}
        return pd.DataFrame.from_dict(rows, orient="index")

    def groups(self, metric: str = HEADLINE, control: str = SEQSIM) -> pd.DataFrame:
        """Group x group (G, G) means of a metric over ordered pairs of sites."""
        between = self.between_sites(metric, control).to_numpy()
        groups, of_site = self.parallel.groups, self.parallel.group_of_site
        cells = [
            [_nanmean(between[np.ix_(of_site == row, of_site == column)], None) for column in range(len(groups))]
            for row in range(len(groups))
        ]
        return _square(cells, groups)

    def between_sites(self, metric: str = HEADLINE, control: str = SEQSIM) -> pd.DataFrame:
        """Site x site (S, S) means of a metric; NaN for a site with itself and where sentences are not shared."""
        n_sites = len(self.parallel.sites)
        code = self.source * n_sites + self.target
        n = np.bincount(code, minlength=n_sites**2)
        total = np.bincount(code, self._credit(metric, control), minlength=n_sites**2)
        means = np.divide(total, n, out=np.full(n_sites**2, np.nan), where=n > 0)
        return _square(means.reshape(n_sites, n_sites), self.parallel.sites)

    def interval(
        self,
        metric: str = HEADLINE,
        source: str | None = None,
        target: str | None = None,
        control: str = SEQSIM,
        n: int = 2000,
        seed: int = 0,
        level: float = 0.95,
    ) -> Interval:
        """Interval of a mean over ordered pairs of sites, which are drawn anew together with the sentences.

        Args:
            metric: one of `metrics`.
            source, target: groups whose cell is meant; None = all.
            control: way to retrieve.
            n, seed, level: as `bootstrap_interval` takes them.

        Raises:
            DialectError: an unknown name, or a cell without a pair of sites.
        """
        credit, of_site = self._credit(metric, control), self.parallel.group_of_site
        kept = np.ones(len(credit), dtype=bool)
        for side, name in ((self.source, source), (self.target, target)):
            if name is not None:
                kept &= of_site[side] == self._number(name)
        if not kept.any():
            raise DialectError(f"there is no pair of {self.parallel.places} from {source} to {target}")
        sides = self.source[kept], self.target[kept], self.sentence[kept]
        return interval_over_pairs(*sides, credit[kept], of_site, n, seed, level, self.parallel.places)

    def to_markdown(self) -> str:
        """Recall@1 by group with its interval, controls, hubs, hardest sentences and notes."""
        return tables.markdown_page(self)

    def to_latex(self, metric: str = HEADLINE) -> str:
        """Group x group table of a metric in percent, for `booktabs`."""
        return tables.latex(tables.percent(self.groups(metric)))

    def to_csv(self) -> str:
        """`pairs`, a line per ordered pair of sites."""
        return self.pairs.to_csv(index=False)

    def to_dict(self) -> dict:
        """What `results.json` takes: intervals of all metrics, tables as lists of rows."""
        intervals = {metric: self.interval(metric).to_dict() for metric in self.metrics}
        named = {"controls": self.controls.reset_index(names="control"), "sites": self.sites}
        named |= {"sentences": self.sentences, "hubs": self.hubs, "pairs": self.pairs}
        named |= {} if self.overlap is None else {"overlap": self.overlap}
        rows = {name: json.loads(table.to_json(orient="records")) for name, table in named.items()}
        return {"metrics": intervals, **rows, "notes": list(self.notes)}

    def __str__(self) -> str:
        chance = self._mean(self.outcomes[SEQSIM].chance[HEADLINE])
        pairs = f"{len(self.parallel.pairs)} ordered pairs of {self.parallel.places}"
        return f"recall@1 {self.value:.3f} over {pairs}, chance {chance:.3f}"

    def _credit(self, metric: str, control: str) -> np.ndarray:
        for name, known in ((control, self.outcomes), (metric, self.outcomes[SEQSIM].credit)):
            if name not in known:
                raise DialectError(f"there is no {name!r}; found: {', '.join(known)}")
        return self.outcomes[control].credit[metric]

    def _mean(self, values: np.ndarray) -> float:
        return mean_over_pairs(self.source, self.target, values)

    def _number(self, group) -> int:
        found = np.flatnonzero(self.parallel.groups == group)
        if not len(found):
            raise DialectError(f"there is no group {group!r}; found: {', '.join(map(str, self.parallel.groups))}")
        return int(found[0])


def _square(values, names: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, pd.Index(names, name="source"), pd.Index(names, name="target"))


def _nanmean(values: np.ndarray, axis: int | None):
    """Mean without NaN; NaN of nothing."""
    known = ~np.isnan(values)
    n = known.sum(axis=axis)
    return np.where(n > 0, np.where(known, values, 0).sum(axis=axis) / np.maximum(n, 1), np.nan)
