"""The embedded corpus: its design, its cache, the fixture."""

import json
import logging
import shutil
import sys
from collections import Counter, defaultdict
from dataclasses import asdict, replace
from io import BytesIO

import numpy as np
import pytest
import soundfile
from datasets import Audio

from hf_dialects.data import synthetic
from hf_dialects.data.audio import decode
from hf_dialects.data.synthetic import (
    FIXTURE_FOLDER,
    SPEAKERS,
    VARIETIES,
    check_plan,
    fingerprint,
    fixture_plan,
    load_cached,
    load_embedded,
    load_fixture,
    load_stress,
    plan,
)
from hf_dialects.errors import CorpusError, DialectError, MissingExtra

PLAN = plan()


def few():
    """One utterance of each split in two varieties, and one more of training."""
    chosen = {(u.dialect, u.split): u for u in PLAN if u.dialect in ("en-us", "pt-br")}
    return [PLAN[0], *chosen.values()]


# ---- the plan


def test_counts_of_the_plan():
    assert Counter(u.split for u in PLAN) == {"train": 2400, "validation": 480, "test": 960}
    assert Counter(u.dialect for u in PLAN) == dict.fromkeys(VARIETIES, 320)
    assert Counter(cluster for cluster, _, _ in VARIETIES.values()) == {"english": 5, "iberian": 4, "vietnamese": 3}
    assert len({u.id for u in PLAN}) == 3840
    check_plan(PLAN)


def test_voices_and_sentences_do_not_cross_splits():
    for field in ("speaker", "sentence_id", "text"):
        values = defaultdict(set)
        for utterance in PLAN:
            values[utterance.split].add(getattr(utterance, field))
        assert not values["train"] & values["validation"]
        assert not values["train"] & values["test"]
        assert not values["validation"] & values["test"]


def test_every_voice_speaks_as_much_in_every_variety():
    spoken = Counter((u.split, u.dialect, u.speaker) for u in PLAN)
    assert set(spoken.values()) == {20}
    assert set(spoken) == {(split, d, s) for split, speakers in SPEAKERS.items() for d in VARIETIES for s in speakers}


def test_training_sentences_are_drawn_anew_for_each_variety_and_voice():
    drawn = defaultdict(set)
    for utterance in PLAN:
        if utterance.split == "train":
            drawn[utterance.dialect, utterance.speaker].add(utterance.sentence_id)
    assert all(len(ids) == 20 for ids in drawn.values())
    assert len({frozenset(ids) for ids in drawn.values()}) == 120
    assert set().union(*drawn.values()) == {f"s{i:02d}" for i in range(30)}


def test_validation_sentences_come_at_two_rates():
    rates = defaultdict(set)
    for utterance in PLAN:
        if utterance.split == "validation":
            rates[utterance.dialect, utterance.speaker, utterance.sentence_id].add(utterance.rate)
    assert len(rates) == 12 * 2 * 10
    assert all(max(pair) - min(pair) == 40 for pair in rates.values())


@pytest.mark.parametrize("field", ["pitch", "rate"])
def test_pitch_and_rate_are_fixed_for_each_variety_and_voice_and_do_not_tell_the_label(field):
    train = [u for u in PLAN if u.split == "train"]
    values = defaultdict(set)
    for utterance in train:
        values[utterance.dialect, utterance.speaker].add(getattr(utterance, field))
    assert all(len(one) == 1 for one in values.values())
    table = np.array([[min(values[d, s]) for s in SPEAKERS["train"]] for d in VARIETIES])  # (12, 10)
    assert len(np.unique(table)) > 10
    # between varieties no more variance than ten random draws have: 1/10 of that between voices, up to chance
    assert table.mean(1).var() < 0.25 * table.var()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], "must hold .*'test': 960.* utterances, its plan has .*'test': 959"),
        (lambda rows: [rows[1], *rows[1:]], "ids .* not unique"),
        (lambda rows: [replace(rows[0], speaker="m6"), *rows[1:]], "speaker .* crosses its splits: m6"),
        (lambda rows: [replace(rows[0], sentence_id="s40"), *rows[1:]], "sentence_id .* crosses its splits: s40"),
        (lambda rows: [replace(rows[0], text=rows[-1].text), *rows[1:]], "text .* crosses its splits"),
    ],
)
def test_a_plan_that_breaks_the_design_is_refused(change, message):
    with pytest.raises(CorpusError, match=message):
        check_plan(change(PLAN))


# ---- rendering and the cache


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache") / "corpus"
    return load_cached(few(), folder, progress=False), folder


@pytest.fixture
def copied(cached, tmp_path):
    """A cache of one's own to break."""
    shutil.copytree(cached[1], tmp_path / "corpus")
    return tmp_path / "corpus"


def no_render(calls):
    raise AssertionError("rendered again")


def test_rendered_corpus_is_in_the_schema(cached):
    splits, _ = cached
    assert {name: len(split) for name, split in splits.items()} == {"train": 3, "validation": 2, "test": 2}
    features = splits["train"].features
    assert features["audio"] == Audio(sampling_rate=16000, decode=False)
    assert features["dialect"].names == list(VARIETIES)
    assert features["cluster"].names == ["english", "iberian", "vietnamese"]
    expected = {u.id: u for u in few()}
    for split in splits.values():
        for row in split:
            utterance = expected[row["id"]]
            assert list(VARIETIES)[row["dialect"]] == utterance.dialect
            assert features["cluster"].int2str(row["cluster"]) == utterance.cluster
            for name in ("speaker", "sentence_id", "text", "language", "voice", "pitch", "rate"):
                assert row[name] == getattr(utterance, name)
            assert row["condition"] == "clean"
            waveform = decode(row["audio"])
            assert row["duration"] == pytest.approx(len(waveform) / 16000, abs=1e-4)
            assert 0.8 < row["duration"] < 4
            assert np.abs(waveform).max() > 0.1


def test_cache_is_used_and_holds_its_fingerprint(cached, monkeypatch):
    splits, folder = cached
    monkeypatch.setattr(synthetic, "render", no_render)
    again = load_cached(few(), folder, progress=False)
    assert fingerprint(again) == fingerprint(splits) == json.loads((folder / "corpus.json").read_text())["fingerprint"]
    assert [file.name for file in folder.parent.iterdir()] == ["corpus"], "something was left behind"


def test_fingerprint_hangs_on_ids_audio_and_order(cached):
    train = cached[0]["train"]
    original = fingerprint({"train": train})
    assert fingerprint({"train": train.select([1, 0, 2])}) != original
    assert fingerprint({"test": train}) != original
    renamed = train.remove_columns("id").add_column("id", ["x", *list(train["id"])[1:]])
    assert fingerprint({"train": renamed}) != original
    assert fingerprint({"train": train.select([0, 1, 2])}) == original


def truncate(folder):
    file = next((folder / "train").glob("*.arrow"))
    file.write_bytes(file.read_bytes()[:-500])


def flip_one_bit_of_audio(folder):
    file = next((folder / "test").glob("*.arrow"))
    data = bytearray(file.read_bytes())
    data[data.index(b"fLaC") + 9000] ^= 1
    file.write_bytes(data)


def lose_a_split(folder):
    for file in (folder / "validation").iterdir():
        file.unlink()


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        flip_one_bit_of_audio,
        lose_a_split,
        lambda folder: (folder / "corpus.json").unlink(),
        lambda folder: (folder / "corpus.json").write_text('{"finger'),
        lambda folder: (folder / "corpus.json").write_text("[]"),
    ],
    ids=["truncated", "flipped bit", "lost split", "no facts", "half facts", "other facts"],
)
def test_a_broken_cache_is_noticed_and_made_again(cached, copied, damage, monkeypatch, caplog):
    flac = {row["id"]: row["audio"]["bytes"] for split in cached[0].values() for row in split}
    monkeypatch.setattr(synthetic, "render", lambda calls: iter([flac[u.id] for u in few()]))
    damage(copied)
    with caplog.at_level(logging.WARNING):
        again = load_cached(few(), copied, progress=False)
    assert f"{copied} is broken or incomplete and is rendered again" in caplog.text
    assert fingerprint(again) == fingerprint(cached[0])
    assert [file.name for file in copied.parent.iterdir()] == ["corpus"]


def test_a_failed_rendering_leaves_nothing_behind(tmp_path, monkeypatch):
    def breaks_off(calls):
        yield b"not even FLAC"

    monkeypatch.setattr(synthetic, "render", breaks_off)
    with pytest.raises(DialectError):
        load_cached(few(), tmp_path / "corpus", progress=False)
    assert not list(tmp_path.iterdir())


def test_of_two_processes_at_once_both_get_the_corpus(cached, tmp_path, monkeypatch):
    """While this one renders, another one finishes."""

    def overtaken(calls):
        shutil.copytree(cached[1], tmp_path / "corpus")
        rows = {row["id"]: row["audio"]["bytes"] for split in cached[0].values() for row in split}
        yield from (rows[u.id] for u in few())

    monkeypatch.setattr(synthetic, "render", overtaken)
    assert fingerprint(load_cached(few(), tmp_path / "corpus", progress=False)) == fingerprint(cached[0])
    assert [file.name for file in tmp_path.iterdir()] == ["corpus"]


def test_where_the_cache_is(monkeypatch, tmp_path):
    folder = synthetic._cache_folder(PLAN, tmp_path)
    assert folder.parent == tmp_path
    assert synthetic._cache_folder([replace(PLAN[0], text="Other."), *PLAN[1:]], tmp_path) != folder
    with monkeypatch.context() as other:
        other.setattr(synthetic, "RENDERING", synthetic.RENDERING + 1)
        assert synthetic._cache_folder(PLAN, tmp_path) != folder
    monkeypatch.setenv("HF_DIALECTS_CACHE", str(tmp_path / "elsewhere"))
    assert synthetic._cache_folder(PLAN, None) == tmp_path / "elsewhere" / folder.name
    monkeypatch.delenv("HF_DIALECTS_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert synthetic._cache_folder(PLAN, None) == tmp_path / ".cache" / "hf_dialects" / folder.name


def test_load_embedded_and_load_stress_read_the_cache(monkeypatch, tmp_path, cached):
    monkeypatch.setattr(synthetic, "plan", few)
    monkeypatch.setattr(synthetic, "check_plan", lambda rows: None)
    monkeypatch.setattr(synthetic, "render", no_render)
    (tmp_path / synthetic._cache_folder(few(), tmp_path).name).symlink_to(cached[1])
    splits = load_embedded(tmp_path, progress=False)
    assert synthetic.embedded_fingerprint(tmp_path) == fingerprint(cached[0])
    stressed = load_stress("telephone", tmp_path, progress=False)
    assert list(stressed["id"]) == list(splits["test"]["id"])
    assert set(stressed["condition"]) == {"telephone"}


def test_unknown_stress_is_refused_before_anything_is_rendered(monkeypatch, tmp_path):
    monkeypatch.setattr(synthetic, "render", no_render)
    with pytest.raises(CorpusError, match="unknown condition 'car'"):
        load_stress("car", tmp_path)


def test_without_espeak_the_corpus_is_a_missing_extra_and_the_fixture_works(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(MissingExtra, match=r"pip install 'hf-dialects\[demo\]'"):
        load_embedded(tmp_path, progress=False)
    assert not list(tmp_path.iterdir())
    assert len(load_fixture()["train"]) == 128


# ---- the fixture


def test_fixture_is_small_and_complete():
    files = [file for file in FIXTURE_FOLDER.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 2_000_000
    clips = {file.relative_to(FIXTURE_FOLDER).as_posix() for file in files if file.suffix == ".opus"}
    rows = [row for split in load_fixture().values() for row in split]
    assert {row["audio"]["path"] for row in rows} == clips
    assert {file.name for file in files} - {clip.split("/")[1] for clip in clips} == {"metadata.csv", "README.md"}


def test_fixture_holds_what_its_plan_says():
    rows = {row["id"]: (split, row) for split, rows in load_fixture().items() for row in rows}
    dialects = load_fixture()["train"].features["dialect"].names
    clusters = load_fixture()["train"].features["cluster"].names
    assert len(rows) == len(fixture_plan()) == 192
    for utterance in fixture_plan():
        split, row = rows[utterance.id]
        found = row | {"split": split, "dialect": dialects[row["dialect"]], "cluster": clusters[row["cluster"]]}
        assert {name: found[name] for name in asdict(utterance)} == asdict(utterance)
        assert row["condition"] == "clean"


def test_fixture_splits_share_sentences_but_no_voice():
    splits = load_fixture()
    assert {name: len(split) for name, split in splits.items()} == {"train": 128, "validation": 32, "test": 32}
    speakers = {name: set(split["speaker"]) for name, split in splits.items()}
    assert [len(names) for names in speakers.values()] == [4, 1, 1]
    assert len(set().union(*speakers.values())) == 6
    for split in splits.values():
        assert set(split["sentence_id"]) == {f"s{i:02d}" for i in range(8)}
        assert set(split["dialect"]) == {0, 1, 2, 3}
        assert set(split["cluster"]) == {0, 1}


def test_fixture_audio_is_readable_speech():
    for split in load_fixture().values():
        for row in split.select(range(0, len(split), 8)):
            with soundfile.SoundFile(BytesIO(row["audio"]["bytes"])) as file:
                assert (file.subtype, file.samplerate, file.channels) == ("OPUS", 16000, 1)
            waveform = decode(row["audio"])
            assert len(waveform) / 16000 == pytest.approx(row["duration"], abs=0.001)
            assert np.abs(waveform).max() > 0.1


def test_write_fixture_makes_the_same_table_and_speech(tmp_path, monkeypatch):
    """The first five utterances, since eSpeak's output hangs on the order of calls, but not on what comes later."""
    shipped = fixture_plan()[:5]
    monkeypatch.setattr(synthetic, "fixture_plan", lambda: shipped)
    synthetic.main(["fixture", "--out", str(tmp_path)])
    written = (tmp_path / "metadata.csv").read_text().splitlines()
    assert written == (FIXTURE_FOLDER / "metadata.csv").read_text().splitlines()[:6]
    for utterance in shipped:
        new, old = (decode(folder / "clips" / f"{utterance.id}.opus") for folder in (tmp_path, FIXTURE_FOLDER))
        assert np.corrcoef(new, old)[0, 1] > 0.99
