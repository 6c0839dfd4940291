"""What is pushed: a run folder or a model folder, and what kind of model lies in it."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from hf_dialects.errors import CheckpointError
from hf_dialects.evaluation.results import read_results

CLASSIFIER, ENCODER, ZIPFORMER = "classifier", "encoder", "zipformer"
KINDS = {
    "DialectForAudioClassification": CLASSIFIER,
    "DialectModel": ENCODER,
    "ZipformerForRNNT": ZIPFORMER,
    "ZipformerModel": ZIPFORMER,
}
RETRIEVAL = ("retrieval.json", "retrieval/retrieval.json")  # what `hf-dialects retrieve` wrote into the run folder


@dataclass(frozen=True)
class Source:
    """A finished run, or a saved model alone.

    Attributes:
        folder: as it was given.
        model: the model folder in it.
        architecture: name of the model's class.
        config: of the model.
        extractor: content of preprocessor_config.json; empty where there is none.
        results: content of results.json; empty where there is none.
        retrieval: content of retrieval.json; empty where there is none.
        recipe: content of recipe.yaml; empty where there is none.
        plain: whether it goes up as a model of transformers.
    """

    folder: Path
    model: Path
    architecture: str
    config: dict
    extractor: dict = field(default_factory=dict)
    results: dict = field(default_factory=dict)
    retrieval: dict = field(default_factory=dict)
    recipe: dict = field(default_factory=dict)
    plain: bool = False

    @property
    def kind(self) -> str:
        """ "classifier", "encoder" or "zipformer"."""
        return KINDS[self.architecture]

    @property
    def corpora(self) -> list[str]:
        """Names of the corpora that were trained on, without the folders they lie in."""
        given = (self.recipe.get("data") or {}).get("source")
        return [without_folder(one) for one in (given if isinstance(given, list) else [given]) if isinstance(one, str)]

    @property
    def longest_s(self) -> float | None:
        """Seconds that the model takes in one pass; None where any length goes. See `longest_input_s`."""
        found = self.extractor
        if found.get("frames"):
            return found["frames"] * found["hop_s"]
        if found.get("nb_max_frames"):
            return found["n_samples"] / found["sampling_rate"]
        return found["max_length"] * 0.01 if isinstance(found.get("max_length"), int) else None


def read_source(folder: str | Path) -> Source:
    """Read a run folder, or a folder that `save_for_hub` wrote.

    Raises:
        CheckpointError: it holds no model, a model of another class, or a classifier that was not evaluated.
    """
    folder = Path(folder)
    model = model_folder(folder)
    path = model / "config.json"
    if not path.is_file():
        raise CheckpointError(
            f"{folder} holds no model (there is no config.json): give a run folder whose training has finished, or a "
            "folder that save_for_hub wrote"
        )
    config = json.loads(path.read_text("utf-8"))
    architecture = next(iter(config.get("architectures") or []), None)
    if architecture not in KINDS:
        raise CheckpointError(
            f"{model} holds {architecture or 'a model that does not name its class'}; one of {', '.join(KINDS)} that "
            "save_for_hub wrote can be pushed"
        )
    evaluated = KINDS[architecture] == CLASSIFIER or (folder / "results.json").is_file()
    retrieval = next((folder / name for name in RETRIEVAL if (folder / name).is_file()), None)
    recipe, extractor = folder / "recipe.yaml", model / "preprocessor_config.json"
    return Source(
        folder=folder,
        model=model,
        architecture=architecture,
        config=config,
        extractor=json.loads(extractor.read_text("utf-8")) if extractor.is_file() else {},
        results=read_results(folder) if evaluated else {},
        retrieval=json.loads(retrieval.read_text("utf-8")) if retrieval else {},
        recipe=yaml.safe_load(recipe.read_text("utf-8")) if recipe.is_file() else {},
    )


def model_folder(folder: Path) -> Path:
    """`model/` of a run folder, or the folder itself."""
    return folder / "model" if (folder / "model").is_dir() else folder


def without_folder(name: str) -> str:
    """A corpus or model as a recipe names it, without the folder of this machine."""
    return Path(name).name if Path(name).is_absolute() else name
