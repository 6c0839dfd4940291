"""A whole run of speech recognition on a folder: recipe in, run folder out, and what can be done with it."""

import csv
import json

import pytest
import spelt
import torch
from safetensors import safe_open
from transformers import AutoModelForRNNT, AutoTokenizer

from hf_dialects.data.folders import canonical_split
from hf_dialects.errors import CheckpointError, CorpusError, RecipeError
from hf_dialects.recognition import load_recogniser, transcribe
from hf_dialects.saving import load_for_inference, save_for_hub
from hf_dialects.training.asr_arguments import AsrTrainingArguments
from hf_dialects.training.asr_data import build_tokens, usable_for_training
from hf_dialects.training.asr_recipe import is_asr, load_asr_recipe, make_asr_recipe
from hf_dialects.training.asr_run import build_recogniser, train_asr

MODEL = {key: list(value) if isinstance(value, tuple) else value for key, value in spelt.MODEL.items()}
TRAINING = {
    "optimiser": "adamw",
    "learning_rate": 0.01,
    "num_train_epochs": 3,
    "batch_seconds": 6.0,
    "speeds": [1.0],
    "average_weights_every": 1,
    "use_cpu": True,
    "logging_steps": 1,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Train, validation and test of two speakers each; the transcripts are called `words`, one row has none."""
    folder = tmp_path_factory.mktemp("spelt")
    rows = []
    for number, split in enumerate(("train", "validation", "test")):
        assert canonical_split(split) == split
        for row in spelt.corpus():
            name = f"{split}-{row['id']}.wav"
            (folder / name).write_bytes(row["audio"]["bytes"])
            words = "" if (split, row["id"]) == ("test", "u5") else row["text"]
            rows.append([name, row["dialect"], f"{number}{row['speaker']}", words, split])
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file_name", "dialect", "speaker", "words", "split"], *rows])
    return folder


def recipe(folder, **sections):
    given = {"data": {"source": str(folder), "text": "words"}, "model": MODEL, "training": TRAINING}
    return make_asr_recipe({"task": "asr", "evaluation": {"draws": 20}} | given | sections)


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "asr"
    methods = {"methods": ["greedy", "attention"], "num_beams": 2, "draws": 20}
    return run_dir, train_asr(recipe(folder, evaluation=methods), run_dir, progress=False)


def test_the_run_folder(finished):
    run_dir, results = finished
    assert results == json.loads((run_dir / "results.json").read_text("utf-8"))
    greedy = results["scores"]["test"]["greedy"]["scores"]
    assert [(row["column"], row["value"], row["n"]) for row in greedy] == [
        (None, "all", 7),
        ("dialect", "north", 3),
        ("dialect", "south", 4),
    ]
    assert greedy[0]["wer"]["length"] == sum(len(text.split()) for text in spelt.TEXTS) - 1
    assert results["skipped"] == {"no text": 1}
    history = json.loads((run_dir / "history.json").read_text("utf-8"))
    values = [line["eval_cer"] for line in history["log"] if "eval_cer" in line]
    mean = next(line["mean_cer"] for line in history["log"] if "mean_cer" in line)
    assert history["best_value"] == min(*values, mean)
    assert history["weights"] == ("mean" if mean <= min(values) else "checkpoint")
    assert results["selected_on"]["by"] == "cer"
    with (run_dir / "transcripts" / "test-attention.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7
    assert {"id", "dialect", "speaker", "text", "hypothesis"} <= rows[0].keys()
    assert "/" not in results["environment"]["command"].removeprefix("python")[:1]


def test_the_mean_leaves_out_the_start(finished):
    run_dir, _ = finished
    history = json.loads((run_dir / "history.json").read_text("utf-8"))
    steps = [line["step"] for line in history["log"] if "eval_cer" in line]  # one checkpoint after each of three epochs
    assert (
        read_updates(run_dir / "before_average"),
        read_updates(run_dir / "checkpoints" / f"checkpoint-{steps[-1]}"),
    ) == (
        steps[1],
        steps[2],
    )


def read_updates(folder) -> int:
    with safe_open(folder / "averaged_weights.safetensors", "pt") as file:
        return int(file.metadata()["updates"])


def test_a_mean_of_nothing_is_not_taken(folder, tmp_path):
    short = recipe(folder, training=TRAINING | {"average_weights_every": 50, "num_train_epochs": 1})
    found = train_asr(short, tmp_path / "run", progress=False)
    assert found["selected_on"]["weights"] == "checkpoint"


def test_a_finished_run_is_read_back_and_belongs_to_its_recipe(finished, folder):
    run_dir, results = finished
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")}
    methods = {"methods": ["greedy", "attention"], "num_beams": 2, "draws": 20}
    assert train_asr(recipe(folder, evaluation=methods), run_dir, progress=False) == results
    assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")} == before
    with pytest.raises(RecipeError, match=r"another recipe \(different: evaluation\)"):
        train_asr(recipe(folder), run_dir, progress=False)


def test_the_model_loads_everywhere(finished):
    run_dir, _ = finished
    model, extractor, tokenizer = load_recogniser(run_dir)
    auto = AutoModelForRNNT.from_pretrained(run_dir / "model").eval()
    assert AutoTokenizer.from_pretrained(run_dir / "model").get_vocab() == tokenizer.get_vocab()
    features = torch.as_tensor(extractor.filter_bank(spelt.waveform("abc a")))[None]
    frames = model(features).last_hidden_state
    assert torch.equal(frames, auto(features).last_hidden_state)
    encoder, _ = load_for_inference(run_dir, head=False)  # what embeddings and retrieval take
    assert torch.allclose(frames[0], encoder.encoder(features).last_hidden_state[0], atol=1e-6)
    settings = json.loads((run_dir / "model" / "config.json").read_text("utf-8"))
    assert all((run_dir / "model" / f"{name.split('.')[0]}.py").is_file() for name in settings["auto_map"].values())


def test_fine_tuning_starts_from_the_saved_weights(finished, folder):
    run_dir, _ = finished
    pretrained = recipe(folder, model={"pretrained": str(run_dir)})
    model, _, tokenizer = build_recogniser(pretrained, spelt.corpus(["ccc"]))
    saved, _, vocabulary = load_recogniser(run_dir)
    assert tokenizer.get_vocab() == vocabulary.get_vocab()
    assert all(torch.equal(value, saved.state_dict()[name]) for name, value in model.state_dict().items())


def test_the_order_of_batches_does_not_matter(finished):
    model, extractor, tokenizer = load_recogniser(finished[0])
    cells, seconds = spelt.corpus()["audio"][:], spelt.corpus()["duration"][:]
    one_by_one = [transcribe(model, extractor, tokenizer, [cell])[0] for cell in cells]
    assert transcribe(model, extractor, tokenizer, cells, batch_size=3, lengths=seconds) == one_by_one


def test_what_cannot_be_learnt_is_left_out(tmp_path):
    rows = spelt.corpus(["ab", "abcabcabc", "c", "abc"], duration=[0.36, 0.3, 0.04, 30.0])
    arguments = AsrTrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    kept, skipped = usable_for_training(rows, build_tokens(rows), arguments)
    assert kept["id"][:] == ["u0"]
    assert [one.message for one in skipped] == [
        "u1 lasts 0.30 s, too short for a text of 9 tokens; is it the right text?",
        "u2 lasts 0.04 s; 0.1 to 20 s are trained on",
        "u3 lasts 30.00 s; 0.1 to 20 s are trained on",
    ]
    with pytest.raises(CorpusError, match="none of the 1 recordings can be trained on"):
        usable_for_training(rows.select([2]), build_tokens(rows), arguments)


def test_translations_bring_tokens_for_their_languages():
    rows = spelt.corpus(["ab", "c"], translation=["x", None], translation_language=["zh", None])
    tokens = build_tokens(rows)
    assert {"<|spoken|>": 3, "<|zh|>": 4, "x": 8}.items() <= tokens.get_vocab().items()
    assert len(build_tokens(spelt.corpus(["ab", "c"]), {"kind": "bpe", "size": 12})) <= 12


def test_a_corpus_without_transcripts(folder, tmp_path):
    with pytest.raises(CorpusError, match="no column 'text' with transcripts; it has"):
        train_asr(recipe(folder, data={"source": str(folder)}), tmp_path / "run", progress=False)


@pytest.mark.parametrize("name", ["zipformer_tiny", "zipformer_yubao"])
def test_shipped_recipes(name, tmp_path):
    assert is_asr(name)
    found = load_asr_recipe(name, ["seed=3", "training.max_steps=5"])
    assert (found.seed, found.training["max_steps"]) == (3, 5)
    if name == "zipformer_tiny":
        model, _, tokenizer = build_recogniser(found, spelt.corpus())
        assert 0.7e6 < model.num_parameters() < 1.0e6
        assert len(tokenizer) == 3 + len("abc ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"task": "dialect"}, "task in the recipe is 'dialect'; it is asr"),
        ({"model": {"encoder_dim": [4]}}, "unknown key model.encoder_dim .* did you mean model.encoder_dims"),
        ({"model": {"vocab_size": 4}}, "unknown key model.vocab_size"),
        ({"training": {"mixup": "random"}}, "unknown key training.mixup"),
        ({"data": {"tokens": {"kind": "words"}}}, "data.tokens.kind is 'words'; it must be characters or bpe"),
        ({"data": {"tokens": {"size": 4}}}, "data.tokens.size is of the kind bpe, but the kind is characters"),
        ({"model": {"pretrained": "x", "ctc": True}}, "model.pretrained brings its sizes .* remove ctc"),
    ],
)
def test_recipes_that_are_refused(content, message):
    with pytest.raises(RecipeError, match=message):
        make_asr_recipe(content)


def test_sizes_that_do_not_fit(folder):
    with pytest.raises(RecipeError, match=r"the model section does not fit: .*kernels must be odd"):
        build_recogniser(recipe(folder, model=MODEL | {"cnn_module_kernels": [4, 4]}), spelt.corpus())


def test_other_recipes_are_not_asr(tmp_path):
    assert not is_asr("demo")
    assert not is_asr("nothing of that name")


def test_a_folder_that_holds_something_else(finished, tmp_path):
    model, extractor, tokenizer = load_recogniser(finished[0])
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="exists and is no checkpoint"):
        save_for_hub(model, extractor, tmp_path, tokenizer)
    with pytest.raises(
        CheckpointError, match=r"holds no recogniser of speech, it lacks config\.json, model\.safetensors"
    ):
        load_recogniser(tmp_path)


def test_on_the_command_line(run, folder, finished, tmp_path):
    run_dir, _ = finished
    wav = next(folder.glob("test-*.wav"))
    left = run("transcribe", run_dir, wav, tmp_path / "missing.wav", "--json", "--quiet")
    assert left.code == 1
    assert json.loads(left.out.splitlines()[0]).keys() == {"file", "text"}
    assert "missing.wav" in left.err
    left = run("train", run_dir / "recipe.yaml", "--out", run_dir, "--quiet")
    assert left.code == 0
    assert "test, greedy" in left.out
    left = run("train", run_dir / "recipe.yaml", "--out", run_dir, "--folds", "3")
    assert (left.code, "do not go with a recipe of task: asr" in left.err) == (1, True)
