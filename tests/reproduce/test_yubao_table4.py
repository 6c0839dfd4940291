"""Table IV of arXiv:2601.07274 with tiny models that spell tones: command and table, what the corpus must bring."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
import spelt

from hf_dialects.errors import CorpusError, DialectError
from hf_dialects.evaluation.transcripts import read_transcripts
from hf_dialects.metrics.error_rates import character_error_rate
from hf_dialects.metrics.text import normalise
from hf_dialects.reproduce.yubao_table4 import MODELS, Table4Options, run_table4, smoke_corpus

SETTINGS = (
    *(f"model.{key}={list(value) if isinstance(value, tuple) else value}" for key, value in spelt.MODEL.items()),
    *("training.optimiser=adamw", "training.learning_rate=0.01", "training.max_steps=2", "training.batch_seconds=6"),
    *("training.speeds=[1.0]", "training.average_weights_every=null", "training.use_cpu=true", "training.threads=1"),
    *("evaluation.draws=20", "training.eval_strategy=steps", "training.eval_steps=2"),
    *("training.save_strategy=steps", "training.save_steps=2"),
)


def corpus_of(folder, translated=True):
    """Two speakers in each split; every second utterance has a translation too, one has nothing else."""
    folder.mkdir()
    rows = []
    for number, split in enumerate(("train", "validation", "test")):
        for place, row in enumerate(spelt.corpus()):
            name = f"{split}-{row['id']}.wav"
            (folder / name).write_bytes(row["audio"]["bytes"])
            translation = ["cc b", "en"] if translated and place % 2 else ["", ""]
            text = "" if translated and (split, place) == ("train", 3) else row["text"]
            rows.append([name, row["dialect"], f"{number}{row['speaker']}", text, split, *translation])
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        names = ["file_name", "dialect", "speaker", "text", "split", "translation", "translation_language"]
        csv.writer(file).writerows([names, *rows])
    return folder


def test_the_command_trains_both_models_and_writes_the_table(run, tmp_path, monkeypatch):
    corpus = corpus_of(tmp_path / "corpus")
    arguments = ("reproduce", "yubao-table4", "--data", corpus, "--seeds", 2, "--quiet", "--out", tmp_path / "out")
    monkeypatch.setattr(Table4Options.__init__, "__defaults__", _with_recipe("zipformer_tiny"))
    left = run(*arguments, *SETTINGS)
    assert left.code == 0, left.err
    content = json.loads((tmp_path / "out" / "yubao-table4.json").read_text("utf-8"))
    assert (content["unit"], content["seeds"], content["smoke"]) == ("cer", ["seed-0", "seed-1"], False)
    assert [(row["column"], row["value"], row["n"]) for row in content["rows"]] == [
        (None, "all", 8),
        ("dialect", "north", 4),
        ("dialect", "south", 4),
    ]
    for model in MODELS:
        rates = []
        for seed in range(2):
            folder = tmp_path / "out" / model / f"seed-{seed}"
            both = (
                read_transcripts(folder / "transcripts" / "test-greedy.csv", name) for name in ("text", "hypothesis")
            )
            texts = ([normalise(text) for text in one.texts.values()] for one in both)
            rates.append(character_error_rate(*texts))
            vocabulary = json.loads((folder / "model" / "tokenizer.json").read_text("utf-8"))
            assert any(one["content"] == "<|en|>" for one in vocabulary["added_tokens"]) == (model == "asr_st")
            skipped = (folder / "skipped.csv").read_text("utf-8")
            assert ("train-u3 has no text" in skipped) == (model == "asr"), "a translation alone is no transcript"
        whole = content["rows"][0]
        assert whole[model]["value"] == pytest.approx(np.mean(rates))
        assert whole[model]["sd_seeds"] == pytest.approx(np.std(rates, ddof=1))
        assert whole["paper"][model] is None
    both = [content["rows"][0][model]["value"] for model in MODELS]
    assert content["rows"][0]["difference"]["difference"] == pytest.approx(both[1] - both[0])
    table = pd.read_csv(tmp_path / "out" / "yubao-table4.csv")
    assert table[["paper asr", "paper asr_st"]].isna().all().all()
    assert (tmp_path / "out" / "yubao-table4.tex").read_text("utf-8").count(r"\\") == 4
    assert (
        "| dialect | n | ASR only | ASR + ST | difference | adjusted p | paper, ASR only | paper, ASR + ST |"
        in left.out
    )

    monkeypatch.setattr("hf_dialects.training.asr_run.fit_asr", None)  # what is there is not done again
    page = (tmp_path / "out" / "yubao-table4.md").read_bytes()
    assert run(*arguments, *SETTINGS).code == 0
    assert (tmp_path / "out" / "yubao-table4.md").read_bytes() == page


def _with_recipe(name):
    defaults = list(Table4Options.__init__.__defaults__)
    defaults[defaults.index("zipformer_yubao")] = name
    return tuple(defaults)


def test_a_corpus_without_translations_is_refused_before_anything_is_trained(tmp_path):
    corpus = corpus_of(tmp_path / "corpus", translated=False)
    with pytest.raises(CorpusError, match="no training utterance has a translation, which ASR \\+ ST is trained on"):
        run_table4(Table4Options(tmp_path / "out", str(corpus), recipe="zipformer_tiny", overrides=SETTINGS))
    assert not (tmp_path / "out").exists()
    with pytest.raises(DialectError, match="give the corpus with --data, or --smoke"):
        run_table4(Table4Options(tmp_path / "out"))


def test_options_of_other_experiments_are_refused(run):
    left = run("reproduce", "yubao-table4", "--smoke", "--encoders", "x", "--folds", 3)
    assert left.code == 1
    assert "--folds, --encoders are not for yubao-table4; leave them out" in left.err


def test_the_smoke_corpus_has_translations_of_what_is_not_english(tmp_path):
    from datasets import load_from_disk

    split = load_from_disk(smoke_corpus(tmp_path / "corpus"))["train"]
    names = split.features["dialect"].int2str(split["dialect"][:])
    assert {name for name, text in zip(names, split["translation"], strict=True) if text} == {"es", "pt-br"}
    english = {
        row: text for row, name, text in zip(split["sentence_id"], names, split["text"], strict=True) if name == "en-us"
    }
    for sentence, text in zip(split["sentence_id"], split["translation"], strict=True):
        assert text in (None, english[sentence])
