"""The nuisance profile: aspects are chosen by what a corpus has, and tell the dialect from what comes with it."""

import json
import xml.etree.ElementTree as xml

import corpora
import numpy as np
import pandas as pd
import pytest
import tiny

from hf_dialects.abx import abx
from hf_dialects.abx_grid import Items, Setting
from hf_dialects.errors import DialectError
from hf_dialects.evaluation.abx_profile import ANYHOW, DIALECT, SPEAKER, aspects_of, profile
from hf_dialects.report.abx_profile import profile_figure, profile_rows, write_profile
from hf_dialects.saving import save_for_hub

SVG = "{http://www.w3.org/2000/svg}"
QUIET = {"draws": 50, "progress": False}


def nested(n_speakers: int = 4, n_sentences: int = 3, takes: int = 1) -> pd.DataFrame:
    """Two dialects with their own speakers, who read the same sentences."""
    rows = [
        {"dialect": dialect, "speaker": f"{dialect}{speaker}", "sentence_id": f"s{sentence}", "take": take}
        for dialect in ("north", "south")
        for speaker in range(n_speakers)
        for sentence in range(n_sentences)
        for take in range(takes)
    ]
    return pd.DataFrame(rows).assign(id=lambda table: [str(one) for one in table.index])


def crossed() -> pd.DataFrame:
    """The same voices in both dialects."""
    return nested().assign(speaker=lambda table: table["speaker"].str[-1])


def vectors_of(attributes: pd.DataFrame, **weights: float) -> np.ndarray:
    """A direction per value of each attribute, as long as its weight, and a little of the item's own."""
    random = np.random.default_rng(0)
    found = 0.05 * random.normal(size=(len(attributes), 40))
    for name, weight in weights.items():
        codes, values = pd.factorize(attributes[name])
        found += weight * random.normal(size=(len(values), 40))[codes]
    return found


def chosen(attributes: pd.DataFrame, **options) -> dict:
    return {aspect.name: aspect for aspect in aspects_of(attributes, **options)[0]}


def test_nested_speakers_differ_and_crossed_ones_stand_across():
    one = chosen(nested())
    assert list(one) == [ANYHOW, DIALECT, SPEAKER]
    assert one[DIALECT].question.differ == ("speaker",)
    assert one[DIALECT].question.across == ("sentence_id",)
    assert (one[DIALECT].groups, one[DIALECT].crossed) == ("speaker", None)
    assert (one[SPEAKER].question.by, one[SPEAKER].question.across) == (("dialect",), ("sentence_id",))
    assert one[SPEAKER].groups == "sentence_id", "speakers are tested and cannot be resampled"
    assert one[ANYHOW].question.across == one[ANYHOW].question.differ == one[ANYHOW].question.by == ()
    other = chosen(crossed())
    assert other[DIALECT].question.across == ("speaker", "sentence_id")
    assert other[SPEAKER].question.by == ("dialect",)


def test_less_is_asked_of_a_corpus_that_has_less():
    own_sentences = nested().assign(sentence_id=lambda table: table["id"])
    assert chosen(own_sentences)[DIALECT].question.differ == ("speaker", "sentence_id")
    silent = nested().drop(columns="sentence_id")
    assert chosen(silent)[SPEAKER].question.across == ()
    assert chosen(silent)[SPEAKER].groups is None
    alone, left_out = aspects_of(nested(n_speakers=1))
    assert [aspect.name for aspect in alone] == [ANYHOW, SPEAKER], "no two speakers of a dialect"
    assert left_out == {"dialect": "no triple, even with nothing held fixed but what it is nested in"}
    assert alone[1].question.by == ()
    unknown = chosen(nested().drop(columns="speaker"))
    assert list(unknown) == [ANYHOW, DIALECT]
    with pytest.raises(DialectError, match="dialects cannot be tested: no triple"):
        aspects_of(nested().assign(dialect="north"))


def test_many_speakers_and_sentences_are_not_paired():
    table = crossed()
    many = pd.concat([table.assign(sentence_id=f"s{number}") for number in range(90)], ignore_index=True)
    many = many.assign(speaker=np.arange(len(many)) % 20).drop_duplicates(["dialect", "speaker", "sentence_id"])
    question = chosen(many)[DIALECT].question
    assert (question.across, question.differ) == (("speaker",), ("sentence_id",))


def test_sessions_devices_and_recordings_are_tested_where_they_vary():
    table = nested(takes=2)
    within = table.assign(session=table["speaker"] + table["take"].astype(str), room="attic")
    aspects, left_out = aspects_of(within)
    found = {aspect.name: aspect for aspect in aspects}
    assert found["session"].question.by == ("speaker",)
    assert found["session"].question.across == ("sentence_id",)
    assert left_out == {"room": "the same everywhere, 'attic'"}
    per_speaker = table.assign(session=table["speaker"], device=table["speaker"].str[-1].isin(["0", "1"]).astype(str))
    aspects, left_out = aspects_of(per_speaker)
    found = {aspect.name: aspect for aspect in aspects}
    assert (found["device"].question.by, found["device"].question.differ) == (("dialect",), ("speaker",))
    assert left_out == {"session": "one per speaker: not to be told from the speaker"}
    recordings = nested().assign(recording=lambda table: table["id"])
    assert aspects_of(recordings)[1] == {"recording": "every item has its own"}
    cut = chosen(recordings, cut=True, min_gap_s=0.5)
    assert cut["recording"].question.by == ("speaker",)
    assert cut["recording"].question.min_gap_s == 0.5


@pytest.fixture
def settings():
    return [Setting(layer, None, "mean") for layer in (0, 1, 2)]


def read_of(attributes: pd.DataFrame, *weights: dict):
    return lambda setting: Items(vectors_of(attributes, **weights[setting.layer]), attributes)


def test_what_is_dialect_and_what_is_the_speaker(settings):
    """Layer 0 holds the dialect, 1 the speaker alone, 2 both: the scores say so, and how much is left of them."""
    table = nested(n_speakers=6)
    weights = {"dialect": 1.0, "sentence_id": 0.3}, {"speaker": 1.0}, {"dialect": 0.5, "speaker": 1.0}
    done = profile(read_of(table, *weights), settings, aspects_of(table)[0], **QUIET)
    found = done.table.set_index("layer")
    assert found[DIALECT][0] > 0.99
    assert found["dialect_share"][0] == pytest.approx(1.0, abs=0.05)
    assert found[SPEAKER][0] < 0.7
    assert found[SPEAKER][1] > 0.99
    assert found[ANYHOW][1] > 0.54, "A and X of one speaker are near each other"
    assert abs(found[DIALECT][1] - 0.5) < 0.12
    assert 0.55 < found[DIALECT][2] < found[ANYHOW][2] < 1
    question = chosen(table)[DIALECT].question
    items = read_of(table, *weights)(settings[2])
    same = abx(items.vectors, table, on="dialect", across=question.across, differ=question.differ)
    assert found[DIALECT][2] == same.score
    share = (found[DIALECT][2] - 0.5) / (found[ANYHOW][2] - 0.5)
    assert found["dialect_share"][2] == pytest.approx(share)


def test_crossed_voices_leave_the_dialect_alone(settings):
    table = crossed()
    weights = {"speaker": 1.0}, {"speaker": 1.0, "dialect": 0.5}, {"dialect": 1.0}
    done = profile(read_of(table, *weights), settings, aspects_of(table)[0], **QUIET)
    found = done.table.set_index("layer")
    assert abs(found[DIALECT][0] - 0.5) < 0.1
    assert found[DIALECT][1] > 0.9, "A and B share the voice, so it cannot mislead"
    assert found[ANYHOW][1] < 0.7
    assert found["dialect_share"][1] > 1
    low, high = (done.scores.set_index(["aspect", "layer"])[name] for name in ("low", "high"))
    assert (low.dropna() <= high.dropna()).all()


def test_an_aspect_without_score_is_told_and_files_are_written(settings, tmp_path):
    table = nested(takes=2).assign(session=lambda one: one["speaker"] + one["take"].astype(str))
    aspects = aspects_of(table)[0]
    weights = {"dialect": 1.0}, {"speaker": 1.0}, {"session": 1.0}
    known = read_of(table, *weights)

    def read(setting):
        items = known(setting)
        return Items(items.vectors, items.attributes.assign(session="one"))

    done = profile(read, settings, aspects, folder=tmp_path / "kept", **QUIET)
    assert [aspect.name for aspect in done.aspects] == [ANYHOW, DIALECT, SPEAKER]
    assert "expected at least two values" in done.left_out["session"]
    paths = write_profile(done, tmp_path, {"seed": 0})
    assert [path.name for path in paths] == ["profile.csv", "profile.json", "profile.svg", "profile.md"]
    content = json.loads((tmp_path / "profile.json").read_text())
    assert [one["name"] for one in content["aspects"]] == [ANYHOW, DIALECT, SPEAKER]
    assert len(content["scores"]) == 9
    assert content["table"][0]["layer"] == 0
    figure = xml.fromstring(profile_figure(done))
    assert len(list(figure.iter(f"{SVG}polyline"))) == 3 + 1, "a line per aspect and one for chance"
    assert len(list(figure.iter(f"{SVG}polygon"))) == 3
    assert len(list(figure.iter(f"{SVG}circle"))) == 9
    letters = [one.text for one in figure.iter(f"{SVG}text")]
    assert {"layer", "ABX score", "whole, mean", DIALECT, ANYHOW, SPEAKER} <= set(letters)
    rows = profile_rows(done)
    assert rows[0] == ["layer", "snippet", "pooling", ANYHOW, DIALECT, SPEAKER, "dialect share"]
    summary = (tmp_path / "profile.md").read_text()
    assert (
        "- dialect: A and X share dialect, B has another; X differs from A and B in sentence_id; all three" in summary
    )
    assert "- session: not tested, " in summary
    assert f"| {' | '.join(rows[1])} |" in summary
    with pytest.raises(DialectError, match="nothing can be scored"):
        profile(lambda setting: Items(np.ones((24, 2)), table.assign(dialect="one")), settings, aspects[:2], **QUIET)


def test_the_command_writes_a_profile_beside_the_grid(run, tmp_path):
    save_for_hub(tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2"), tmp_path / "model")
    lines = ["file_name,dialect,speaker,sentence_id"]
    for number in range(8):
        dialect, speaker, sentence = number % 2, number // 2 % 2, number // 4
        corpora.tone(tmp_path / "data" / f"{number}.wav", seconds=0.6, seed=4 * dialect + 2 * speaker + sentence)
        lines.append(f"{number}.wav,{('low', 'high')[dialect]},{dialect}{speaker},s{sentence}")
    (tmp_path / "data" / "metadata.csv").write_text("\n".join(lines) + "\n")
    arguments = ("--data", tmp_path / "data", "--snippets", "0.25", "--pooling", "mean", "--layers", "0,3")
    quick = ("--draws", 20, "--permutations", 0, "--quiet", "--out", tmp_path / "out")
    left = run("abx", tmp_path / "model", *arguments, *quick, "--profile")
    assert left.code == 0, left.err
    assert "recording: A and X share recording, B has another; all three share speaker" in left.out
    assert "dialect share" in left.out
    content = json.loads((tmp_path / "out" / "profile.json").read_text())
    assert [one["name"] for one in content["aspects"]] == [ANYHOW, DIALECT, SPEAKER, "recording"]
    grid = pd.read_csv(tmp_path / "out" / "grid.csv")
    table = pd.DataFrame(content["table"])
    assert table[ANYHOW].tolist() == pytest.approx(grid["score"].tolist()), "no condition was asked for either"
    assert "groups" not in content
