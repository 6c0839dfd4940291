"""What a table measures, and how it prints it."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Measures:
    """The numbers of a table.

    Attributes:
        of_results: metrics of results.json.
        of_embeddings: metrics of separation.json, which is only made where a table wants them.
        counts: of `cost.cost_of`: "steps", "encoded_examples".
        tested: metrics that settings are compared in.
        printed: metrics that the paper prints.
        percent: metrics shown in percent, as the paper does.
    """

    of_results: tuple[str, ...]
    of_embeddings: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    tested: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()
    percent: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, in the order of the table."""
        return (*self.of_results, *self.of_embeddings, *self.counts)

    def to_dict(self) -> dict[str, list[str]]:
        """As it stands in TABLE.json."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_dict(cls, found: dict) -> "Measures":
        """What `to_dict` gave."""
        return cls(**{name: tuple(values) for name, values in found.items()})


SALVI = Measures(
    of_results=("accuracy", "macro_f1", "ece"),
    of_embeddings=("purity", "silhouette"),
    tested=("accuracy", "macro_f1", "ece", "purity"),
    printed=("accuracy", "macro_f1"),
    percent=("accuracy", "macro_f1"),
)
OF_MAP_MIX = ("accuracy", "weighted_f1", "cluster_accuracy", "ece")
MAP_MIX = Measures(of_results=OF_MAP_MIX, counts=("steps", "encoded_examples"), tested=OF_MAP_MIX, printed=OF_MAP_MIX)
