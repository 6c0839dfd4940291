"""Judging a model whose labels are not the corpus's: which of them stand for which dialect.

Dimensions: N utterances, L labels of the model, C dialects of the corpus.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import yaml

from hf_dialects.data.manifest import SUFFIXES as TABLES
from hf_dialects.data.manifest import read_rows
from hf_dialects.errors import CorpusError
from hf_dialects.inference import Predictions

SHOWN = 8  # names in a message


@dataclass(frozen=True)
class LabelMap:
    """Labels of a model → dialects of a corpus.

    The probabilities of all labels of one dialect are added up. Labels outside the map are dropped, and what is left of
    each utterance, after the mean over its windows, is divided by its sum: the model is asked which of the mapped
    dialects it is. The mass that was dropped is reported, because a model that puts most of it elsewhere was hardly
    asked anything.

    Attributes:
        dialect_of: label → dialect, for the labels in the map.
        matrix: (L, C) float64, 1 where a label stands for a dialect.
        dropped: labels outside the map, in label order.
    """

    dialect_of: dict[str, str]
    matrix: np.ndarray
    dropped: list[str]

    def apply(self, predictions: Predictions) -> tuple[Predictions, dict]:
        """Predictions over the dialects, and what `results.json` says about the map.

        An utterance without any mass on mapped labels gets equal probabilities.

        Returns:
            (predictions, {"labels": label → dialect, "dropped": labels, "mass_outside": {"mean", "highest",
            "over_half": utterances with more than half of it outside}, "renormalised": True})
        """
        mass = predictions.probabilities @ self.matrix  # (N, C)
        inside = mass.sum(1, keepdims=True)
        probabilities = np.divide(mass, inside, out=np.full_like(mass, 1 / mass.shape[1]), where=inside > 0)
        outside = np.clip(1 - inside[:, 0], 0, 1)
        report = {
            "labels": self.dialect_of,
            "dropped": self.dropped,
            "mass_outside": {
                "mean": float(outside.mean()),
                "highest": float(outside.max()),
                "over_half": int((outside > 0.5).sum()),
            },
            "renormalised": True,
        }
        return replace(predictions, probabilities=probabilities), report


def label_map(
    given: str | Path | Mapping[str, str], labels: Sequence[str], dialects: Sequence[str], used: Sequence[str]
) -> LabelMap:
    """A map that fits a model and a corpus.

    Args:
        given: label → dialect, or a file of it, see `read_label_map`.
        labels: L names of the model.
        dialects: C names of the corpus.
        used: dialects that are judged; each needs a label.

    Raises:
        CorpusError: a label that the model does not have, a dialect that the corpus does not have, or a judged dialect
            that no label stands for.
    """
    dialect_of = dict(given) if isinstance(given, Mapping) else read_label_map(Path(given))
    name = "the label map" if isinstance(given, Mapping) else str(given)
    _check_known(f"labels of {name}", dialect_of, labels, "the model has")
    _check_known(f"dialects of {name}", dialect_of.values(), dialects, "the corpus has")
    without = [dialect for dialect in used if dialect not in dialect_of.values()]
    if without:
        raise CorpusError(
            f"no label of the model is mapped to {_listed(without)}, so no utterance of it can be right; add it to "
            f"{name}, or leave these utterances out. Labels not in the map: "
            f"{_listed([label for label in labels if label not in dialect_of]) or 'none'}"
        )
    matrix = np.array([[float(dialect_of.get(label) == dialect) for dialect in dialects] for label in labels])
    return LabelMap(dialect_of, matrix, [label for label in labels if label not in dialect_of])


def read_label_map(path: Path) -> dict[str, str]:
    """label → dialect, from YAML or JSON (`label: dialect`) or from a CSV or TSV table with columns `label`, `dialect`.

    Every name is read as text, also YAML's `no` and `1`.

    Raises:
        CorpusError: the file cannot be read, holds something else, is empty, or maps a label twice.
    """
    pairs = _pairs_of_table(path) if path.suffix in TABLES else _pairs_of_mapping(path)
    labels = [label for label, _ in pairs]
    twice = [label for label in dict.fromkeys(labels) if labels.count(label) > 1]
    if twice:
        raise CorpusError(f"{path} maps {_listed(twice)} more than once; every label stands for one dialect")
    if not pairs:
        raise CorpusError(f"{path} maps no label; it needs lines such as `label: dialect`")
    return dict(pairs)


def describe_label_map(report: Mapping) -> str:
    """A line for the terminal about what the map left out."""
    outside, dropped = report["mass_outside"], len(report["dropped"])
    text = f"mass outside the map: {outside['mean']:.3f} on average, {outside['highest']:.3f} at most"
    if outside["over_half"]:
        text += f", over half in {outside['over_half']} utterances"
    return f"{text} ({dropped} label{'s' * (dropped != 1)} dropped, probabilities divided by the rest)"


def _pairs_of_table(path: Path) -> list[tuple[str, str]]:
    rows = read_rows(path)
    if not {"label", "dialect"} <= rows[0].keys():
        raise CorpusError(f"{path} has columns {_listed(list(rows[0]))}; a label map has `label` and `dialect`")
    return [(str(row["label"] or ""), str(row["dialect"] or "")) for row in rows]


def _pairs_of_mapping(path: Path) -> list[tuple[str, str]]:
    kind = "JSON" if path.suffix == ".json" else "YAML"
    pairs = None
    try:
        text = path.read_text("utf-8")
        if kind == "JSON":
            pairs = json.loads(text, object_pairs_hook=list)
        else:  # as nodes every scalar is text, and a key that stands twice is seen
            node = yaml.compose(text, Loader=yaml.BaseLoader)
            if isinstance(node, yaml.MappingNode):
                pairs = [(key.value, value.value) for key, value in node.value]
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise CorpusError(f"{path} is no valid {kind}: {error}") from error

    def is_pair(one) -> bool:
        return isinstance(one, tuple) and all(isinstance(name, str) for name in one)

    if not isinstance(pairs, list) or not all(map(is_pair, pairs)):
        raise CorpusError(f"{path} is no label map; expected one mapping from text to text, such as `label: dialect`")
    return pairs


def _check_known(what: str, found, valid: Sequence[str], whose: str) -> None:
    unknown = [name for name in dict.fromkeys(found) if name not in valid]
    if unknown:
        near = get_close_matches(unknown[0], valid, 1)
        hint = f" Did you mean {near[0]!r} for {unknown[0]!r}?" if near else ""
        raise CorpusError(f"{what} that are unknown: {_listed(unknown)}; {whose} {_listed(list(valid))}.{hint}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
