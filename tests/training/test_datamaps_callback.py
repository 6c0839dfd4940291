"""Recording training dynamics: exact, complete also after a resume, and without effect on what is learnt."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from datasets import DatasetDict
from test_folds import first_class
from test_stages import CONTENT, Killed
from test_trainer import clips, corpus, trainer, wav, weights
from transformers import TrainerCallback, Wav2Vec2Config

from hf_dialects.data.clips import Clips
from hf_dialects.data.collate import Collator
from hf_dialects.data.streamed_clips import StreamedClips
from hf_dialects.data.synthetic import load_fixture
from hf_dialects.errors import CheckpointError, RecipeError
from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.feature_extraction_dialect import extract
from hf_dialects.models.modeling_dialect import DialectForAudioClassification
from hf_dialects.training import datamaps_callback
from hf_dialects.training.arguments import DialectTrainingArguments
from hf_dialects.training.datamaps import DataMap
from hf_dialects.training.datamaps_callback import DatamapsCallback
from hf_dialects.training.dynamics import read_dynamics
from hf_dialects.training.fit import fit
from hf_dialects.training.folds import fold_data, train_folds
from hf_dialects.training.frozen import train_frozen
from hf_dialects.training.mapmix import MapMixTrainer
from hf_dialects.training.recipe import make_recipe
from hf_dialects.training.run import screen_splits
from hf_dialects.training.stages import train_stages
from hf_dialects.training.trainer import DialectTrainer

STEPS = {"save_strategy": "steps", "eval_strategy": "steps", "save_total_limit": None}


@pytest.fixture(scope="module")
def screened():
    few = {name: split.select(range(0, len(split), 4)) for name, split in load_fixture().items()}
    return screen_splits(DatasetDict(few), ("speaker",), progress=False)


def arguments(folder) -> DialectTrainingArguments:
    options = {"num_train_epochs": 2, "batch_size": 4, "seed": 2, "use_cpu": True, "disable_tqdm": True}
    options |= {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
    return DialectTrainingArguments(output_dir=str(folder), **options)


class Watched(DialectTrainer):
    """Keeps (rows, logits) of every training pass."""

    extra = staticmethod(lambda inputs: {})

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        inputs = inputs | self.extra(inputs)
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
        if model.training:
            logits = outputs.logits if outputs.clean_logits is None else outputs.clean_logits
            self.seen.append((self.state.epoch, inputs["row"].tolist(), logits.detach().clone()))
        return (loss, outputs) if return_outputs else loss


def watched(folder, extra=lambda inputs: {}):
    recorder = DatamapsCallback(folder / "dynamics.parquet")
    one = trainer(folder, callbacks=[recorder], gradient_accumulation_steps=2)
    one.__class__, one.seen, one.extra = Watched, [], extra
    one.train()
    return one, read_dynamics(folder)


def test_training_mode_takes_the_probabilities_of_the_pass(tmp_path):
    one, found = watched(tmp_path)
    assert len(found) == 40
    assert set(found["mode"]) == {"training"}
    indexed = found.set_index(["epoch", "id"])
    for epoch, rows, logits in one.seen:
        for row, values in zip(rows, logits.double().softmax(-1).numpy(), strict=True):
            recorded = indexed.loc[(int(epoch), f"clip-{row}")]
            assert recorded["gold"] == row % 3
            assert recorded["probability"] == pytest.approx(values[row % 3], abs=1e-6)
            assert recorded["correct"] == (values.argmax() == row % 3)
    again = one.model.eval()(**one.data_collator([one.train_dataset[(1, 0)]]) | {"row": None}).logits.softmax(-1)
    assert abs(again[0, 0].item() - indexed.loc[(1, "clip-0"), "probability"]) > 1e-6, "its dropout and weights count"


def test_mixed_rows_are_recorded_unmixed_and_mixtures_not_at_all(tmp_path):
    def mix(inputs):
        partner = torch.arange(len(inputs["row"])).roll(1)
        partner[0] = -1  # a partner only
        return {"mixup_index": partner, "mixup_weight": torch.tensor(0.6), "recordable": inputs["row"] != 4}

    one, found = watched(tmp_path, mix)
    assert found["id"].value_counts().tolist() == [2] * 19
    assert "clip-4" not in set(found["id"])
    clean = {(int(epoch), row): values for epoch, *batch in one.seen for row, values in zip(*batch, strict=True)}
    for record in found.itertuples():
        row = int(record.id.removeprefix("clip-"))
        assert record.probability == pytest.approx(clean[record.epoch, row].softmax(-1)[row % 3].item(), abs=1e-6)


def mixing(folder, mixup: str, mode: str = "training", **options) -> pd.DataFrame:
    recorder = DatamapsCallback(folder / "dynamics.parquet", mode)
    args = arguments(folder)
    args.mixup = mixup
    MapMixTrainer(
        tiny.model("whisper"), args, tiny.feature_extractor("whisper"), clips(12), callbacks=[recorder], **options
    ).train()
    return read_dynamics(folder)


def test_what_mixup_hears(tmp_path):
    """Easy partners are recorded beside the ambiguous examples, hard ones never heard; mixed waveforms say nothing."""
    assert len(mixing(tmp_path / "random", "random")) == 24
    regions = np.array(["easy", "easy", "ambiguous", "ambiguous", "hard", "hard"] * 2)
    confidence = np.select([regions == "easy", regions == "hard"], [0.9, 0.1], 0.5)
    ids, zeros = np.array([f"clip-{i}" for i in range(12)], dtype=object), np.zeros(12)
    datamap = DataMap(ids, zeros.astype(int), confidence, zeros, zeros, zeros.astype(int) + 1, "training")
    assert (datamap.regions() == regions).all()
    found = mixing(tmp_path / "pairs", "ambiguous_easy", datamap=datamap)
    for epoch in (0, 1):
        heard = set(found[found["epoch"] == epoch]["id"])
        assert set(ids[regions == "ambiguous"]) < heard <= set(ids[regions != "hard"])
    with pytest.warns(UserWarning, match=r"no recording was heard unmixed; take training.record_dynamics=evaluation"):
        assert mixing(tmp_path / "static", "static").empty
    assert len(mixing(tmp_path / "passed", "static", "evaluation")) == 24


def begun() -> tuple[DatamapsCallback, SimpleNamespace]:
    recorder = DatamapsCallback(mode="training")
    loader = SimpleNamespace(dataset=Clips(corpus(4)), batch_sampler=None)
    args = SimpleNamespace(device=torch.device("cpu"), process_index=0)
    recorder.on_train_begin(args, None, None, train_dataloader=loader)
    return recorder, args


def test_the_first_counts_by_step_whichever_process_drew_it(monkeypatch):
    other = {"step": [0, 1], "row": [1, 2], "probability": np.float32([0.75, 0.5]), "correct": [True, True]}
    monkeypatch.setattr(datamaps_callback, "gather_object", lambda own: [*own, pd.DataFrame(other)])
    recorder, args = begun()
    recorder.record(torch.tensor([0]), torch.zeros(1, 3))
    recorder.record(torch.tensor([1, 2]), torch.zeros(2, 3))
    recorder.on_epoch_end(args, None, None)
    assert recorder.table()["probability"].tolist() == pytest.approx([1 / 3, 0.75, 1 / 3])


def test_of_a_recording_drawn_twice_the_first_counts():
    recorder, args = begun()
    certain = {row: torch.eye(3)[row % 3] * 50 for row in range(4)}
    recorder.record(torch.tensor([3, 1]), torch.stack([certain[3], certain[1]]))
    recorder.on_log(args, None, None)
    recorder.record(torch.tensor([1, 0, 0]), torch.stack([torch.zeros(3), certain[0], torch.zeros(3)]))
    recorder.on_epoch_end(args, None, None)
    recorder.record(torch.tensor([3]), torch.zeros(1, 3))
    recorder.on_epoch_end(args, None, None)
    found = recorder.table()
    assert found["id"].tolist() == ["clip-0", "clip-1", "clip-3"]
    assert found["probability"].tolist() == pytest.approx([1, 1, 1])
    assert found["correct"].all()


def test_evaluation_mode_is_the_model_after_the_epoch_around_the_middle(tmp_path):
    recorder = DatamapsCallback(tmp_path / "dynamics.parquet", "evaluation")
    one = trainer(tmp_path, callbacks=[recorder], load_best_model_at_end=False, per_device_eval_batch_size=3)
    one.train()
    found = read_dynamics(tmp_path)
    assert found["epoch"].value_counts().to_dict() == {0: 20, 1: 20}
    still, extractor = clips(20, training=False), tiny.feature_extractor("whisper")
    with torch.no_grad():
        model = one.model.eval()
        inputs = [Collator(extractor.batch)([still[row]]) | {"labels": None, "row": None} for row in range(20)]
        expected = [model(**one).logits.double().softmax(-1)[0] for one in inputs]
    last = found[found["epoch"] == 1].set_index("id")
    for row in range(20):
        assert last.loc[f"clip-{row}", "probability"] == pytest.approx(expected[row][row % 3].item(), abs=1e-5)
        assert last.loc[f"clip-{row}", "correct"] == (int(expected[row].argmax()) == row % 3)


def test_where_padding_disturbs_an_encoder_recordings_are_as_alone(tmp_path):
    """A group-normalised front averages over padding: only equal lengths share a batch."""
    seconds = [(0.3, 0.35, 0.3, 0.4, 0.4)[i % 5] for i in range(10)]
    audio = [wav(length, i) for i, length in enumerate(seconds)]
    rows = corpus(10).remove_columns("audio").add_column("audio", audio).add_column("duration", seconds)
    front = tiny.FRONT | {"feat_extract_norm": "group"}
    options = {"id2label": dict(enumerate(tiny.LABELS)), "window_s": 1.0, "stride_s": 0.5}
    model = DialectForAudioClassification(DialectConfig(encoder_config=Wav2Vec2Config(**tiny.SIZE, **front), **options))
    extractor = tiny.feature_extractor("wav2vec2")
    recorder = DatamapsCallback(tmp_path / "dynamics.parquet", "evaluation")
    one = DialectTrainer(model, arguments(tmp_path), extractor, Clips(rows, training=True), callbacks=[recorder])
    one.train()
    found = read_dynamics(tmp_path)
    found = found[found["epoch"] == 1].set_index("id")["probability"]
    clip = [Clips(rows)[row]["clip"] for row in range(10)]
    with torch.no_grad():
        model.eval()
        alone = [model(**extract(extractor, [clip[row]])).logits.softmax(-1)[0, row % 3].item() for row in range(10)]
        padded = model(**extract(extractor, clip)).logits.softmax(-1)[range(10), [row % 3 for row in range(10)]]
    assert [found[f"clip-{row}"] for row in range(10)] == pytest.approx(alone, abs=1e-6)
    assert np.abs(padded.numpy() - alone).max() > 1e-5, "padding disturbs nothing: this test would prove nothing"


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("encoder", ["whisper", "wav2vec2"])
def test_recording_changes_nothing(tmp_path, mode, encoder):
    def trained(folder, callbacks):
        model = tiny.model(encoder, classifier_dropout=0.2)
        train = clips(8) if encoder == "whisper" else Clips(corpus(8), training=True, crop_s=0.4)
        extractor = tiny.feature_extractor(encoder)
        one = DialectTrainer(model, arguments(folder), extractor, train, callbacks=callbacks)
        one.train()
        return weights(one.model), torch.get_rng_state(), np.random.get_state()[1]

    without = trained(tmp_path / "without", [])
    recorded = trained(tmp_path / "with", [DatamapsCallback(tmp_path / "dynamics.parquet", mode)])
    assert all(np.array_equal(one, other) for one, other in zip(without, recorded, strict=True))
    assert len(read_dynamics(tmp_path)) == 16


class KillAt(TrainerCallback):
    def __init__(self, event: str, step: int):
        self.step = step
        setattr(self, event, self.kill)

    def kill(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise Killed


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize(("event", "step", "save_steps"), [("on_step_end", 5, 2), ("on_epoch_end", 3, 3)])
def test_a_resumed_run_loses_and_doubles_nothing(tmp_path, mode, event, step, save_steps):
    """Broken off in the middle of the second epoch; and between the last checkpoint of an epoch and its end."""

    def make(folder, *callbacks):
        recorder = DatamapsCallback(folder / "dynamics.parquet", mode)
        options = STEPS | {"save_steps": save_steps, "eval_steps": save_steps}
        return trainer(folder, callbacks=[*callbacks, recorder], **options)

    whole = make(tmp_path / "whole")
    whole.train()
    assert whole.state.global_step == 6  # 20 clips, batches of 7, 7 and 6
    with pytest.raises(Killed):
        make(tmp_path / "broken", KillAt(event, step)).train()
    assert not (tmp_path / "broken" / "dynamics.parquet").exists()
    last = tmp_path / "broken" / f"checkpoint-{step // save_steps * save_steps}"
    assert len(read_dynamics(last)) == (27 if last.name == "checkpoint-4" and mode == "training" else 20)
    make(tmp_path / "broken").train(resume_from_checkpoint=str(last))
    found = [read_dynamics(tmp_path / name) for name in ("whole", "broken")]
    assert len(found[0]) == 40
    pd.testing.assert_frame_equal(*found)


def test_checkpoints_without_dynamics_are_not_gone_on_from(tmp_path):
    trainer(tmp_path / "plain", epochs=1).train()
    one = trainer(tmp_path, callbacks=[DatamapsCallback(tmp_path / "dynamics.parquet")])
    with pytest.raises(CheckpointError, match=r"checkpoint-3.dynamics.parquet does not exist"):
        one.train(resume_from_checkpoint=str(tmp_path / "plain" / "checkpoint-3"))
    trainer(tmp_path / "other", epochs=1, callbacks=[DatamapsCallback(tmp_path / "dynamics.parquet")]).train()
    one = trainer(tmp_path, callbacks=[DatamapsCallback(tmp_path / "dynamics.parquet", "evaluation")])
    with pytest.raises(CheckpointError, match=r"recorded its dynamics in the mode training, not evaluation"):
        one.train(resume_from_checkpoint=str(tmp_path / "other" / "checkpoint-3"))


def test_what_cannot_be_recorded_is_refused(tmp_path, screened):
    path = tmp_path / "dynamics.parquet"
    options = {"sampler": "classes_x_examples", "sampler_options": {"classes": 2}}
    with pytest.raises(RecipeError, match=r"'classes_x_examples' draws with replacement.*record_dynamics=evaluation"):
        trainer(tmp_path, callbacks=[DatamapsCallback(path)], **options).train()
    trainer(tmp_path, epochs=1, callbacks=[DatamapsCallback(path, "evaluation")], **options).train()
    assert len(read_dynamics(path)) == 20
    one = trainer(tmp_path, callbacks=[DatamapsCallback(path)], max_steps=1)
    one.train_dataset = StreamedClips(corpus(4).to_iterable_dataset())
    with pytest.raises(RecipeError, match=r"a corpus on disk, but this one is a stream"):
        one.train()
    for mode in ("exact", True):
        with pytest.raises(RecipeError, match=rf"record_dynamics is {mode!r}; it must be training, evaluation"):
            DatamapsCallback(path, mode)
    with pytest.raises(RecipeError, match=r"out_of_fold needs a corpus that is not trained on"):
        DatamapsCallback(path, "out_of_fold")
    content = CONTENT | {"stages": [], "training": CONTENT["training"] | {"record_dynamics": "out_of_fold"}}
    with pytest.raises(RecipeError, match=r"train with --folds; or take training or evaluation"):
        fit(screened, make_recipe(content), tmp_path, progress=False)
    with pytest.raises(RecipeError, match=r"a head on a frozen encoder is fitted at once"):
        train_frozen(make_recipe(content), tmp_path, folds=3, progress=False)


@pytest.mark.parametrize(("recorded", "in_run"), [(0, False), (1, True), (None, False)])
def test_stages_record_in_their_folders(screened, tmp_path, recorded, in_run):
    stages = [{"name": "one"}, {"name": "two", "from": "original"}]
    for stage in stages:
        stage["training"] = {"record_dynamics": False}
    if recorded is not None:
        stages[recorded]["training"] = {"record_dynamics": "training"}
    content = CONTENT | {"model": CONTENT["model"] | {"objective": None}, "stages": stages}
    train_stages(screened, make_recipe(content), tmp_path, progress=False)
    folders = [tmp_path / "stage-1-one", tmp_path / "stage-2-two", tmp_path]
    assert [(folder / "dynamics.parquet").is_file() for folder in folders] == [recorded == 0, recorded == 1, in_run]
    if recorded is not None:
        assert set(DataMap.from_run(folders[recorded]).ids) <= set(screened.splits["train"]["id"])


def test_out_of_fold_dynamics_come_from_models_that_never_heard_the_speaker(tmp_path):
    few = {name: split.select(range(0, len(split), 3)) for name, split in load_fixture().items()}
    DatasetDict(few).save_to_disk(tmp_path / "corpus")
    training = CONTENT["training"] | {"max_steps": -1, "num_train_epochs": 2, "save_steps": 100, "eval_steps": 100}
    training |= {"record_dynamics": "out_of_fold", "save_strategy": "no", "load_best_model_at_end": False}
    model = CONTENT["model"] | {"objective": None}
    content = {"data": {"source": str(tmp_path / "corpus")}, "model": model, "training": training}
    one = make_recipe(content | {"evaluation": {"draws": 20, "baselines": False}})
    heard = {}

    def fit_only(data, recipe, folder, progress, callbacks):
        """Trains; the predictions are not what is tested."""
        fit(data, recipe, folder, progress, callbacks)
        heard[folder.name] = {name: set(data.splits[name]["speaker"]) for name in ("train", "validation")}
        first_class(data, recipe, folder, progress)

    train_folds(one, tmp_path / "run", 3, progress=False, train=fit_only)
    found = read_dynamics(tmp_path / "run")
    assert set(found["mode"]) == {"out_of_fold"}
    folds = fold_data(one, 3, progress=False)
    ids = [id for fold in folds for id in fold.splits["test"]["id"]]
    for epoch in (0, 1):
        assert sorted(found[found["epoch"] == epoch]["id"]) == sorted(ids)
    for number, fold in enumerate(folds):
        own = read_dynamics(tmp_path / "run" / f"fold-{number}")
        speakers = dict(zip(fold.splits["test"]["id"], fold.splits["test"]["speaker"], strict=True))
        assert {speakers[id] for id in own["id"]}.isdisjoint(heard[f"fold-{number}"]["train"])
        assert {speakers[id] for id in own["id"]}.isdisjoint(heard[f"fold-{number}"]["validation"])
        pooled = found[found["id"].isin(speakers)].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, pooled)
    assert found.groupby("id")["probability"].nunique().max() == 2, "the model of each epoch"
