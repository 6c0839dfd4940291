"""What the card of one kind of model says, before it is put into its template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """A line of the model index.

    Attributes:
        split: of the corpus; None where it is not known.
        metric: as the Hub calls it.
        title: for people.
        value: of the metric.
        corpus: that it was measured on; None for that of the training.
    """

    split: str | None
    metric: str
    title: str
    value: float
    corpus: str | None = None


@dataclass(frozen=True)
class Parts:
    """A card's own parts.

    Attributes:
        template, use: files of `model_cards/`: of the card, and of its section that shows the use.
        task: the Hub's pipeline tag.
        tags: beside those of all cards.
        labels: of the varieties.
        papers: keys of papers.bib.
        scores: of the model index.
        fields: of the template, beside those of all cards.
    """

    template: str
    use: str
    task: str
    tags: Sequence[str]
    labels: Sequence[str]
    papers: Sequence[str]
    scores: Sequence[Score]
    fields: Mapping[str, object]
