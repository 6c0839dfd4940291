"""Training with push_to_hub ends with the repository that hf-dialects push makes, and with nothing else."""

import json
from importlib import import_module

import finished
import numpy as np
import pytest
import tiny
from datasets import ClassLabel, Dataset
from huggingface_hub import ModelCard, constants
from loopback_hub import WRITER

from hf_dialects.data.clips import Clips
from hf_dialects.errors import DialectError, RecipeError
from hf_dialects.saving import model_files
from hf_dialects.training.arguments import DialectTrainingArguments, arguments_of
from hf_dialects.training.folds import train_folds
from hf_dialects.training.recipe import make_recipe
from hf_dialects.training.run import train_recipe
from hf_dialects.training.trainer import DialectTrainer

PUSH = {"push_to_hub": True, "hub_model_id": "me/trained", "hub_license": "mit"}
FILES = {"README.md", "config.json", "hf-dialects.json", "model.safetensors", "preprocessor_config.json"}
FILES |= {"results.json", "figures/confusion.png"} | {path.name for path in model_files()}


@pytest.fixture
def reached(hub, monkeypatch):
    """The loopback Hub as the only one, with a token in the environment, and without the check in a fresh process,
    which has tests of its own."""
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    template = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_TOKEN", WRITER)
    checked = []
    monkeypatch.setattr(import_module("hf_dialects.hub.push"), "check_reload", lambda *folders: checked.append(folders))
    hub.checked = checked
    return hub


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = finished.recordings(tmp_path_factory.mktemp("recordings"))
    table = folder / "metadata.csv"
    lines = [line for line in table.read_text("utf-8").splitlines() if "broken" not in line]
    table.write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def clips(n: int, training: bool) -> Clips:
    extractor = tiny.feature_extractor("wav2vec2")
    columns = {"id": [f"clip-{i}" for i in range(n)], "dialect": [i % 3 for i in range(n)]}
    columns["audio"] = [{"bytes": wav(i), "path": None} for i in range(n)]
    rows = Dataset.from_dict(columns).cast_column("dialect", ClassLabel(names=list(tiny.LABELS)))
    return Clips(rows, training=training, crop_s=0.4, sampling_rate=extractor.sampling_rate)


def wav(seed: int) -> bytes:
    import io

    import soundfile

    file = io.BytesIO()
    soundfile.write(file, tiny.waveform(0.4, seed), tiny.RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def trainer(folder, **options) -> DialectTrainer:
    settings = {"num_train_epochs": 1, "batch_size": 6, "disable_tqdm": True, "use_cpu": True} | options
    arguments = DialectTrainingArguments(output_dir=str(folder), **settings)
    parts = (tiny.model("wav2vec2"), arguments, tiny.feature_extractor("wav2vec2"))
    return DialectTrainer(*parts, clips(6, True), clips(6, False))


def recipe(corpus, **training):
    settings = {"num_train_epochs": 1, "use_cpu": True} | training
    data = {"source": str(corpus), "split_by": ["speaker"]}
    return make_recipe({"data": data, "model": finished.MODEL, "training": settings, "evaluation": {"draws": 20}})


def test_a_trainer_pushes_its_model_at_the_end(reached, tmp_path):
    made = trainer(tmp_path, **PUSH)
    assert reached.received == [], "nothing is made before there is something to push"
    made.train()
    repository = reached.model("me/trained")
    assert repository.private
    assert [commit.title for commit in repository.commits] == ["initial commit", "Model, results and card"]
    assert set(repository.files) == FILES | {".gitattributes"}
    assert len(reached.checked) == 1, "checked before it went up"
    results = json.loads(repository.files["results.json"])
    logged = [line["eval_accuracy"] for line in made.state.log_history if "eval_accuracy" in line][-1]
    assert results["metrics"]["validation"]["accuracy"]["value"] == pytest.approx(logged)
    found = {
        one.metric_name: one.metric_value for one in ModelCard(repository.files["README.md"].decode()).data.eval_results
    }
    assert found["accuracy"] == pytest.approx(logged)
    everything = [one.body for one in reached.received] + list(reached.stored.values())
    assert not [body for body in everything if b"optimizer" in body or str(tmp_path).encode() in body]
    assert np.isfinite(results["metrics"]["validation"]["nll"]["value"])


def test_saving_again_changes_nothing(reached, tmp_path):
    made = trainer(tmp_path, **PUSH)
    made.train()
    commits = len(reached.model("me/trained").commits)
    url = made.push_to_hub().url
    assert url.startswith(f"{reached.endpoint}/me/trained/commit/")
    files = [commit.files for commit in reached.model("me/trained").commits]
    changed = {path for path in files[-1] if files[-1][path] != files[commits - 1].get(path)}
    assert changed <= {"results.json", "README.md"}


def test_a_recipe_pushes_the_evaluated_run_and_a_finished_one_again(reached, corpus, tmp_path):
    made = recipe(corpus, **PUSH, hub_private_repo=False)
    results = train_recipe(made, tmp_path / "run", progress=False)
    repository = reached.model("me/trained")
    assert not repository.private
    assert json.loads(repository.files["results.json"]) == results
    assert "test" in results["metrics"]
    assert set(repository.files) == FILES | {".gitattributes", "figures/reliability.png"}
    train_recipe(made, tmp_path / "run", progress=False)
    assert len(repository.commits) == 2, "nothing had changed"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hub_license": None}, r"training\.push_to_hub needs training\.hub_license: the repository"),
        ({"hub_model_id": None, "hub_license": None}, r"needs training\.hub_model_id and training\.hub_license"),
        ({"hub_strategy": "every_save"}, r"hub_strategy is 'every_save'; only end is possible: .*optimiser's state"),
        ({"hub_strategy": "checkpoint"}, r"hub_strategy is 'checkpoint'; only end is possible"),
        ({"hub_revision": "next"}, r"training\.hub_revision is not used"),
    ],
)
def test_what_is_missing_is_told_before_training(tmp_path, options, message):
    with pytest.raises(RecipeError, match=message):
        DialectTrainingArguments(output_dir=str(tmp_path), **PUSH | options)


def test_a_token_and_an_owner_are_asked_for_before_training(reached, tmp_path, monkeypatch):
    with pytest.raises(DialectError, match="'trained' has no owner"):
        trainer(tmp_path, **PUSH | {"hub_model_id": "trained"})
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    given = {"output_dir": str(tmp_path)} | PUSH
    with pytest.raises(RecipeError, match="needs a token: run hf auth login"):
        arguments_of(DialectTrainingArguments, given)
    assert reached.received == []


def test_a_recipe_holds_no_token_and_folds_have_no_single_model(corpus, tmp_path):
    with pytest.raises(RecipeError, match=r"unknown key training\.hub_token"):
        recipe(corpus, hub_token="secret")
    with pytest.raises(RecipeError, match="trains one per fold: remove it, or train without --folds"):
        train_folds(recipe(corpus, **PUSH), tmp_path / "run", 3, progress=False)
    assert not (tmp_path / "run").exists()
