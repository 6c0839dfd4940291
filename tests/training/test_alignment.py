"""Training for alignment: it brings varieties together, resumes, ignores padding, and says what it cannot do."""

import io

import numpy as np
import parallel_sites
import pytest
import soundfile
import tiny
import torch
import yaml
from datasets import ClassLabel, Dataset
from transformers import AutoModel

from hf_dialects.data.clips import Clips
from hf_dialects.data.streamed_clips import StreamedClips
from hf_dialects.errors import CorpusError, RecipeError
from hf_dialects.evaluation.results import read_results
from hf_dialects.models.modeling_dialect import DialectModel
from hf_dialects.retrieval import retrieval_benchmark
from hf_dialects.saving import load_for_inference
from hf_dialects.training.alignment import AlignmentTrainer
from hf_dialects.training.alignment_run import describe_aligned, train_alignment
from hf_dialects.training.arguments import DialectTrainingArguments
from hf_dialects.training.recipe import load_recipe, make_recipe
from hf_dialects.training.run import train_recipe

VARIETIES = 3
TRAIN, HELD_OUT = range(0, 36, 3), range(60, 78, 3)  # melodies of three notes all
APART = 4  # semitones between the keys of two varieties


def wav(sentence: int, variety: int) -> dict:
    file = io.BytesIO()
    soundfile.write(
        file, parallel_sites.melody(sentence, APART * variety), parallel_sites.RATE, format="WAV", subtype="FLOAT"
    )
    return {"bytes": file.getvalue(), "path": None}


@pytest.fixture(scope="module")
def corpora():
    """Melodies in three keys; those of validation are others than those of training."""
    found = {}
    for name, sentences in {"train": TRAIN, "validation": HELD_OUT}.items():
        said = [(sentence, variety) for sentence in sentences for variety in range(VARIETIES)]
        columns = {"id": [f"{sentence}-{variety}" for sentence, variety in said]}
        columns |= {
            "dialect": [variety for _, variety in said],
            "sentence_id": [f"s{sentence}" for sentence, _ in said],
        }
        columns["audio"] = [wav(*one) for one in said]
        found[name] = Dataset.from_dict(columns).cast_column("dialect", ClassLabel(names=list("abc")))
    return found


def clips(split, encoder: str = "whisper", training: bool = False) -> Clips:
    extractor, options = tiny.feature_extractor(encoder), {}
    if encoder == "whisper":
        options = {"analyse": extractor.log_mel, "hop": extractor.hop_length, "window": extractor.window_length}
    return Clips(split, training=training, seed=1, **options)


def trainer(folder, corpora, encoder="whisper", epochs=2, seed=1, **options) -> AlignmentTrainer:
    settings = {"align": "sentence_id", "align_utterances": 3, "batch_size": 12, "logging_steps": 1, "use_cpu": True}
    settings |= {"num_train_epochs": epochs, "seed": seed, "disable_tqdm": True, "metric_for_best_model": "contrastive"}
    arguments = DialectTrainingArguments(output_dir=str(folder), **settings | options)
    model, extractor = tiny.model(encoder, seed=seed).base_model, tiny.feature_extractor(encoder)
    train, held_out = clips(corpora["train"], encoder, training=True), clips(corpora["validation"], encoder)
    return AlignmentTrainer(model, arguments, extractor, train, held_out)


def weights(model) -> torch.Tensor:
    return torch.cat([one.detach().flatten() for one in model.parameters()])


def test_it_brings_unseen_sentences_of_different_varieties_together(tmp_path, corpora):
    never = dict.fromkeys(("eval_strategy", "save_strategy"), "no") | {"load_best_model_at_end": False}
    one = trainer(tmp_path, corpora, epochs=10, learning_rate=3e-3, **never)
    before = one.evaluate()
    one.train()
    after = one.evaluate()
    assert after["eval_contrastive"] < 0.7 * before["eval_contrastive"]
    assert before["eval_recall_at_1"] < 0.6, "too easy: this test would prove nothing"
    assert after["eval_recall_at_1"] > before["eval_recall_at_1"] + 0.2
    assert "eval_loss" not in after  # batches of an evaluation hold no pairs


def test_validation_is_retrieval_of_whole_recordings(tmp_path, corpora):
    one = trainer(tmp_path, corpora, per_device_eval_batch_size=5)
    found = one.evaluate()
    split, extractor = corpora["validation"], tiny.feature_extractor("whisper")
    waveforms = [
        parallel_sites.melody(sentence, APART * variety) for sentence in HELD_OUT for variety in range(VARIETIES)
    ]
    frames = one.model.encode(waveforms, extractor, frames=True)
    attributes = {"site": np.array(split["dialect"][:]), "sentence_id": np.array(split["sentence_id"][:])}
    assert found["eval_recall_at_1"] == pytest.approx(retrieval_benchmark(frames, attributes, group=None).value)


def test_same_seed_same_weights_and_every_parameter_moves(tmp_path, corpora):
    first = trainer(tmp_path / "first", corpora)
    before = {name: one.detach().clone() for name, one in first.model.named_parameters() if one.requires_grad}
    first.train()
    second = trainer(tmp_path / "second", corpora, dataloader_num_workers=1)
    second.train()
    assert torch.equal(weights(first.model), weights(second.model))
    stayed = [name for name, one in first.model.named_parameters() if name in before and torch.equal(one, before[name])]
    assert stayed == []


def test_resuming_in_the_middle_of_an_epoch_equals_not_stopping(tmp_path, corpora):
    steps = {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
    steps |= {"save_total_limit": None}
    whole = trainer(tmp_path / "whole", corpora, **steps)
    whole.train()
    assert whole.state.global_step == 6
    again = trainer(tmp_path / "again", corpora, **steps)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert torch.equal(weights(whole.model), weights(again.model))
    log = [
        [line["eval_contrastive"] for line in one.state.log_history if "eval_contrastive" in line][2:]
        for one in (whole, again)
    ]
    assert log[0] == log[1]


def test_padding_of_a_batch_does_not_change_its_loss(tmp_path, corpora):
    one = trainer(tmp_path, corpora, encoder="wav2vec2-bert")
    batch = one.data_collator([one.train_dataset[row] for row in range(9)])
    assert len(set(batch["attention_mask"].sum(1).tolist())) > 1
    longer = dict(batch)
    longer["input_features"] = torch.nn.functional.pad(batch["input_features"], (0, 0, 0, 13), value=7.0)
    longer["attention_mask"] = torch.nn.functional.pad(batch["attention_mask"], (0, 13))
    losses = [one.compute_loss(one.model.eval(), inputs).item() for inputs in (batch, longer)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert losses[0] > 0.1


def without(corpus, **columns):
    for name, values in columns.items():
        corpus = corpus.remove_columns(name) if values is None else corpus.remove_columns(name).add_column(name, values)
    return corpus


def test_corpora_without_parallel_sentences_are_named(tmp_path, corpora):
    train = corpora["train"]
    with pytest.raises(
        CorpusError, match=r"training.align is 'sentence_id', but the corpus has the columns id, dialect"
    ):
        trainer(tmp_path, corpora | {"train": without(train, sentence_id=None)})
    alone = [f"{sentence}-{variety}" for sentence, variety in zip(train["sentence_id"], train["dialect"], strict=True)]
    with pytest.raises(
        CorpusError, match=r"0 of 36 sentences are said in two varieties or more, but a batch of 12 with 3"
    ):
        trainer(tmp_path, corpora | {"train": without(train, sentence_id=alone)})
    with pytest.raises(CorpusError, match=r"12 of 12 sentences .* a batch of 39 with 3 utterances of each holds 13"):
        trainer(tmp_path, corpora, batch_size=39)
    one = corpora["validation"].select(range(3))
    with pytest.raises(
        CorpusError, match=r"the validation split cannot tell whether varieties come together: no two of 3"
    ):
        trainer(tmp_path, corpora | {"validation": one})


def test_recordings_that_would_be_cut_are_counted(tmp_path, corpora):
    durations = [0.9] * 34 + [2.5, None]
    with pytest.raises(RecipeError, match=r"1 of 36 recordings are longer than the clips of 2.01 s, the longest 2"):
        trainer(tmp_path, corpora | {"train": corpora["train"].add_column("duration", durations)})


def test_arguments_that_would_be_ignored_are_refused(tmp_path, corpora):
    for name, value in {"mixup": "random", "sampler": "balanced", "record_dynamics": "training"}.items():
        with pytest.raises(RecipeError, match=rf"training.{name} has no meaning with training.align"):
            trainer(tmp_path, corpora, **{name: value})
    for name, value in {"align_temperature": 0.0, "align_hardness": -1.0}.items():
        with pytest.raises(RecipeError, match=rf"training.{name} is {value}; expected a number"):
            trainer(tmp_path, corpora, **{name: value})
    stream = StreamedClips(corpora["train"].to_iterable_dataset(), seed=1)
    arguments = DialectTrainingArguments(output_dir=str(tmp_path), align="sentence_id", max_steps=1, use_cpu=True)
    with pytest.raises(RecipeError, match=r"needs a corpus on disk"):
        AlignmentTrainer(tiny.model("whisper").base_model, arguments, tiny.feature_extractor("whisper"), stream)


def recipe(source, **sections):
    content = {
        "data": {"source": str(source), "split_by": ["sentence_id"], "split_sizes": [0.5, 0.25, 0.25]},
        "model": {"encoder": {"model_type": "whisper"} | tiny.WHISPER, "features": {"feature_size": 20}},
        "training": {"align": "sentence_id", "align_utterances": 2, "batch_size": 8, "max_steps": 4, "use_cpu": True}
        | {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2},
    }
    return make_recipe({name: content.get(name, {}) | sections.get(name, {}) for name in content | sections})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return parallel_sites.write(tmp_path_factory.mktemp("parallel") / "corpus", sentences=range(16))


def test_a_recipe_leaves_an_encoder_behind(tmp_path, corpus):
    found = train_alignment(recipe(corpus), tmp_path / "run", progress=False)
    assert found["by"] == "contrastive"
    assert found["checkpoint"] in ("checkpoint-2", "checkpoint-4")
    assert 0 <= found["recall_at_1"] <= 1
    assert f"recall_at_1 {found['recall_at_1']:.3f} ({found['checkpoint']}" in describe_aligned(found)
    assert isinstance(AutoModel.from_pretrained(tmp_path / "run" / "model"), DialectModel)
    model, extractor = load_for_inference(tmp_path / "run", head=False)
    assert model.encode(tiny.waveform(1.0), extractor, frames=True).shape == (25, 32)
    results = read_results(tmp_path / "run")
    assert results["metrics"]["validation"]["recall_at_1"]["value"] == found["recall_at_1"]
    assert results["data"]["leakage"]["sentence_id"]["crossing"] == 0
    assert (results["task"], results["labels"]) == ("alignment", ["east", "west"])
    assert train_alignment(recipe(corpus), tmp_path / "run", progress=False) == found
    assert read_results(tmp_path / "run") == results


def test_it_can_start_from_a_trained_run(tmp_path, corpus):
    train_alignment(recipe(corpus), tmp_path / "first", progress=False)
    start = {"encoder": str(tmp_path / "first" / "model"), "features": None, "window_s": 2.0, "stride_s": 1.0}
    still = {"learning_rate": 0.0}
    train_alignment(recipe(corpus, model=start, training=still), tmp_path / "second", progress=False)
    first, second = (load_for_inference(tmp_path / name, head=False)[0] for name in ("first", "second"))
    assert torch.equal(weights(first), weights(second))


def test_what_alignment_does_not_go_with(tmp_path, corpus):
    with pytest.raises(RecipeError, match=r"trains an encoder in one stage; remove stages"):
        train_alignment(make_recipe(recipe(corpus).to_dict() | {"stages": [{"name": "a"}]}), tmp_path, progress=False)
    with pytest.raises(RecipeError, match=r"model.objective is of a classifier"):
        train_alignment(recipe(corpus, model={"objective": "supcon"}), tmp_path, progress=False)
    with pytest.raises(RecipeError, match=r"cannot be a stage, a fold or evaluated on dialects: train it alone"):
        train_recipe(recipe(corpus), tmp_path / "run", progress=False)


def test_the_shipped_recipe_is_of_this_kind():
    found = load_recipe("alignment")
    assert found.training["align"] == "sentence_id"
    assert found.data["split_by"] == ["sentence_id"]


def test_command(run, corpus, tmp_path):
    content = recipe(corpus).to_dict()
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    out = tmp_path / "run"
    done = run("train", tmp_path / "own.yaml", "--out", out, "--quiet")
    assert done.code == 0, done.err
    assert "validation: contrastive " in done.out
    refused = run("train", tmp_path / "own.yaml", "--frozen", "--out", tmp_path / "other", "--quiet")
    assert refused.code == 1
    assert "it does not go with --frozen" in refused.err
