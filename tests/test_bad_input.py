"""Bad input where a user meets it: every message says what was found, where, what was expected and what to do."""

import csv
import errno
import json
import shutil
from pathlib import Path

import corpora
import numpy as np
import pytest
import soundfile
import tiny
import yaml
from transformers import Trainer

from hf_dialects.data.shard_plan import plan_shards
from hf_dialects.data.shards import write_shards
from hf_dialects.errors import DialectError
from hf_dialects.saving import save_for_hub

RECIPE = {
    "model": {
        "encoder": {"model_type": "whisper"} | tiny.WHISPER,
        "features": {"feature_size": 20},
        "window_s": 2.0,
        "stride_s": 1.0,
    },
    "training": {"num_train_epochs": 2, "batch_size": 8, "use_cpu": True},
    "evaluation": {"draws": 10, "baselines": False},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of a classifier of north, south and west."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_for_hub(tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2"), folder)
    return folder


def make_corpus(folder: Path, speakers: int = 4, dialects: tuple[str, ...] = ("north", "south"), **changes) -> Path:
    """Two recordings of each speaker. Changes: row (from 0) and column → value, as `row_column=value`."""
    rows = []
    for dialect in dialects:
        for speaker in range(speakers):
            for take in range(2):
                name = f"{dialect}{speaker}-{take}.wav"
                corpora.tone(folder / name, seconds=0.2, seed=len(rows))
                rows.append({"file_name": name, "dialect": dialect, "speaker": f"{dialect}{speaker}", "note": "x"})
    for place, value in changes.items():
        row, _, column = place.removeprefix("row").partition("_")
        rows[int(row)][column] = value
    write_table(folder, rows)
    return folder


def write_table(folder: Path, rows: list[dict]) -> None:
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def write_samples(path: Path, samples, rate: int = 16000, subtype: str = "FLOAT", format: str = "WAV") -> None:
    with path.open("wb") as file:
        soundfile.write(file, samples, rate, format=format, subtype=subtype)


def with_one(samples: np.ndarray, value: float) -> np.ndarray:
    return np.where(np.arange(len(samples)) == 7, value, samples)


def half(path: Path) -> None:
    write_samples(path, tiny.waveform(0.5), subtype="PCM_16")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damaged_page(path: Path) -> None:
    write_samples(path, tiny.waveform(0.5), subtype="VORBIS", format="OGG")
    data = bytearray(path.read_bytes())
    data[-9] ^= 0xFF
    path.write_bytes(bytes(data))


NOT_AUDIO = (
    "is corrupt or no audio file: Format not recognised; WAV, FLAC, Ogg Vorbis, Opus or MP3 is expected, fetch it "
    "again or leave it out"
)
BREAKS_OFF = "breaks off: its header states 16000 bytes of samples, 7978 are there; fetch it again or leave it out"
BAD_RECORDINGS = {  # what is in a file: (what writes it, what is said after the path)
    "nothing": (Path.unlink, "is missing: there is no such file; correct its path or leave it out"),
    "half a recording": (half, BREAKS_OFF),
    "a web page": (lambda path: path.write_text("<html>404</html>"), NOT_AUDIO),
    "a damaged page of Ogg": (damaged_page, "is corrupt: its Ogg page at byte"),
    "no bytes": (lambda path: path.write_bytes(b""), "is empty: it holds no bytes; fetch it again or leave it out"),
    "no samples": (
        lambda path: write_samples(path, np.zeros(0)),
        "holds no samples; record it again or leave it out",
    ),
    "a sample that is not a number": (
        lambda path: write_samples(path, with_one(tiny.waveform(0.2), np.nan)),
        "holds 1 samples that are infinite or not numbers; export it again or leave it out",
    ),
    "an infinite sample": (
        lambda path: write_samples(path, with_one(tiny.waveform(0.2), np.inf)),
        "holds 1 samples that are infinite or not numbers; export it again or leave it out",
    ),
    "a sample far beyond full scale": (
        lambda path: write_samples(path, with_one(tiny.waveform(0.2), 1e30)),
        "is corrupt: a sample is 1e+30; full scale is 1, leave it out",
    ),
}


@pytest.mark.parametrize("content", BAD_RECORDINGS)
def test_a_bad_recording_is_told_by_check_and_by_predict(run, model, tmp_path, content):
    make, said = BAD_RECORDINGS[content]
    folder = make_corpus(tmp_path / "corpus")
    bad = folder / "south1-0.wav"
    make(bad)
    left = run("check", folder, "--quiet")
    assert left.code == 1
    (line,) = [line.strip() for line in left.out.splitlines() if str(bad) in line]
    assert line.startswith(f"south1-0: {bad} {said}")
    left = run("predict", model, bad, folder / "north0-0.wav", "--json", "--quiet")
    assert left.code == 1
    (message,) = left.err.splitlines()[-1:]
    assert message.startswith(f"error: {bad} {said}")
    assert [json.loads(line)["file"] for line in left.out.splitlines()] == [str(folder / "north0-0.wav")]


def test_silence_and_recordings_too_short_for_the_encoder(run, model, tmp_path):
    folder = make_corpus(tmp_path / "corpus")
    write_samples(folder / "south1-0.wav", np.zeros(4800))
    left = run("check", folder, "--quiet")
    assert left.code == 0
    assert "warning: silent (1)\n  south1-0 holds no sound in its 0.30 s; leave it out" in left.out
    short = tmp_path / "short.wav"
    write_samples(short, tiny.waveform(0.01))
    left = run("predict", model, short)
    expected = "the recording lasts 0.010 s, the encoder needs at least 0.035 s"
    assert left.err == f"error: {short}: {expected}: leave it out or give a longer one\n"


def test_other_rates_channels_and_names_give_the_same_answer(run, model, tmp_path):
    """A tone that all rates can hold."""

    def tone(rate: int) -> np.ndarray:
        return 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)

    write_samples(tmp_path / "plain.wav", tone(16000))
    write_samples(tmp_path / "telephone.wav", tone(8000), 8000)
    write_samples(tmp_path / "studio.wav", tone(48000), 48000)
    write_samples(tmp_path / "stereo.wav", np.stack([1.5 * tone(16000), 0.5 * tone(16000)], 1))
    write_samples(tmp_path / "flac.wav", tone(16000), subtype="PCM_24", format="FLAC")
    shutil.copy(tmp_path / "plain.wav", tmp_path / "plain.mp3")
    left = run("predict", model, tmp_path, "--json", "--quiet")
    assert left.code == 0, left.err
    answers = [json.loads(line) for line in left.out.splitlines()]
    scores = {Path(one["file"]).name: {two["label"]: two["score"] for two in one["labels"]} for one in answers}
    assert len(scores) == 6
    for name, found in scores.items():
        assert found == pytest.approx(
            scores["plain.wav"], abs=2e-3 if name in ("telephone.wav", "studio.wav") else 1e-5
        )


def test_a_label_that_does_not_exist(run, tmp_path):
    folder = make_corpus(tmp_path / "corpus")
    left = run("split", folder, "--by", "speaker", "--labels", "north,east", "--out", tmp_path / "out")
    advice = "there are north, south; choose from these with labels="
    assert left.err == f"error: in corpus no label is called 'east'; {advice}\n"


def test_a_variety_that_the_model_does_not_know(run, model, tmp_path):
    folder = make_corpus(tmp_path / "corpus", dialects=("north", "moon"))
    left = run("evaluate", model, "--data", folder, "--out", tmp_path / "out", "--quiet")
    assert left.code == 1
    assert (
        "the corpus has 1 varieties that the model does not know: moon; the model's are north, south, west" in left.err
    )
    assert "Keep only known ones, or say with a label map" in left.err
    assert not (tmp_path / "out").exists()


def train(run, folder: Path, tmp_path: Path, *overrides):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE | {"data": {"source": str(folder)}}))
    return run("train", recipe, *overrides, "--out", tmp_path / "run", "--quiet")


def test_one_class_only(run, tmp_path):
    left = train(run, make_corpus(tmp_path / "corpus", dialects=("north",)), tmp_path)
    expected = "the training split holds one dialect only (north); a classifier needs at least two."
    assert left.err == f"error: {expected} Is data.label the right column?\n"


def test_a_class_with_one_speaker(run, tmp_path):
    folder = make_corpus(tmp_path / "corpus", **{f"row{row}_speaker": "one" for row in range(8, 16)})
    left = train(run, folder, tmp_path)
    assert "3 splits need at least 3 groups over speaker in every class of dialect, but 'south' has 1." in left.err
    assert "Use fewer splits (a size of 0, or fewer folds), drop the class, split by another `by`" in left.err


def test_a_column_that_is_missing(run, tmp_path):
    folder = make_corpus(tmp_path / "corpus")
    left = run("check", folder, "--label", "accent")
    found = "corpus has no column 'accent' to be the dialect; it has audio, dialect, speaker, note, id"
    assert left.err == f"error: {found}. Name the right one with label=\n"
    left = train(run, folder, tmp_path, "data.split_by=[village]")
    assert (
        "error: data.split_by names 'village'; the corpus has the columns audio, dialect, speaker, id, note" in left.err
    )


def test_a_split_that_is_empty(run, tmp_path):
    splits = {f"row{row}_split": "test" if row > 7 else "train" for row in range(16)}
    folder = make_corpus(tmp_path / "corpus", **splits)
    left = train(run, folder, tmp_path, "data.labels=[north]")
    expected = "the split 'test' of corpus holds no recording with one of the labels wanted; name others"
    assert left.err == f"error: {expected}\n"


def test_a_speaker_in_two_splits(run, tmp_path):
    splits = {f"row{row}_split": ("train", "train", "validation", "test")[row // 2 % 4] for row in range(16)}
    folder = make_corpus(tmp_path / "corpus", **splits | {"row1_split": "test"})
    left = train(run, folder, tmp_path)
    assert "1 values of 'speaker' are in more than one split: 'north0' in train and test (2 examples)" in left.err
    assert "Split again with group_split(dataset, by=('speaker',)) or hf-dialects split" in left.err


def test_a_checkpoint_that_is_cut_short_or_does_not_fit(run, model, tmp_path):
    recording = corpora.tone(tmp_path / "a.wav", seconds=0.5)
    for name, found, advice in (
        ("model.safetensors", "the weights of", "the file is truncated or corrupt; copy it again"),
        ("config.json", "cannot be loaded: ", "copy it again where a file is cut short"),
        ("preprocessor_config.json", "cannot be loaded: ", "copy it again where a file is cut short"),
    ):
        copy = shutil.copytree(model, tmp_path / name)
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content[: len(content) // 2])
        left = run("predict", copy, recording)
        assert (left.code, left.out) == (1, "")
        assert all(part in left.err for part in (found, str(copy), advice)), left.err
    copy = shutil.copytree(model, tmp_path / "labels")
    settings = json.loads((copy / "config.json").read_text())
    names = {"id2label": {"0": "north", "1": "south"}, "label2id": {"north": 0, "south": 1}}
    (copy / "config.json").write_text(json.dumps(settings | names))
    left = run("predict", copy, recording)
    expected = (
        f"{copy} has weights for 3 labels, but its config.json names 2: north, south; take both from the same run"
    )
    assert left.err == f"error: {expected}\n"


def test_recordings_outside_the_folder(run, tmp_path):
    corpora.tone(tmp_path / "private.wav")
    folder = make_corpus(tmp_path / "corpus", row2_file_name="../private.wav")
    left = run("check", folder)
    expected = (
        f"{folder}/metadata.csv, row 3: '../private.wav' lies outside {folder}; move it there, or name a folder that"
    )
    assert left.err == f"error: {expected} holds all recordings with audio_root=\n"


def test_ids_that_occur_twice(run, tmp_path):
    left = run("check", make_corpus(tmp_path / "corpus", row2_file_name="north0-0.wav"))
    assert left.err.startswith("error: in corpus 1 ids occur more than once: north0-0; ids are the paths of the files")
    assert left.err.endswith("List each recording once, or give such a column\n")


def test_a_recipe_key_that_does_not_exist(run, tmp_path):
    left = train(run, make_corpus(tmp_path / "corpus"), tmp_path, "training.learning_rat=1")
    expected = "unknown key training.learning_rat in training in tiny.yaml; did you mean training.learning_rate?"
    assert left.err == f"error: {expected}\n"
    assert not (tmp_path / "run").exists()


def full(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_while_shards_are_written(tmp_path, monkeypatch):
    def rows():
        for number in range(4):
            path = corpora.tone(tmp_path / "wav" / f"{number}.wav", seed=number)
            yield {"id": str(number), "dialect": "ab"[number % 2], "audio": {"bytes": None, "path": str(path)}}

    plan = plan_shards(rows, shard_bytes=5000)
    assert len(plan.shards) == 4
    plain, out = Path.write_bytes, tmp_path / "out"
    third = plan.shards[2].name
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", lambda path, data: full() if third in path.name else plain(path, data))
        with pytest.raises(DialectError) as caught:
            write_shards(rows, plan, out, progress=False)
    message = str(caught.value)
    assert message.startswith(f"{out / 'data.part' / third} could not be written: the disk that holds it is full (")
    assert message.endswith("run the same command again; the files that are whole stay")
    assert sorted(path.name for path in (out / "data.part").iterdir()) == [shard.name for shard in plan.shards[:2]]
    write_shards(rows, plan, out, progress=False)
    assert sorted(path.name for path in (out / "data").iterdir()) == [shard.name for shard in plan.shards]


def test_a_disk_that_is_full_while_results_are_written(run, model, tmp_path, monkeypatch):
    folder, out = make_corpus(tmp_path / "corpus"), tmp_path / "out"
    plain = Path.write_text
    monkeypatch.setattr(
        Path,
        "write_text",
        lambda path, *rest, **options: full() if path.name.startswith(".results") else plain(path, *rest, **options),
    )
    left = run("evaluate", model, "--data", folder, "--out", out, "--quiet")
    assert left.code == 1
    assert f"error: {out / 'results.json'} could not be written: the disk that holds it is full (" in left.err
    assert left.err.endswith("run the same command again; what was written before stays\n")
    assert (out / "predictions" / "all.parquet").is_file()
    assert not [path for path in out.iterdir() if "results" in path.name]


def test_a_disk_that_is_full_while_a_checkpoint_is_written(run, tmp_path, monkeypatch):
    folder, saved = make_corpus(tmp_path / "corpus"), []
    plain = Trainer._save_checkpoint

    def save_once(self, *rest):
        saved.append(self.state.global_step)
        return plain(self, *rest) if len(saved) == 1 else full()

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_save_checkpoint", save_once)
        left = train(run, folder, tmp_path)
    assert left.code == 1
    assert (
        f"error: {tmp_path / 'run' / 'checkpoints'} could not be written: the disk that holds it is full (" in left.err
    )
    assert left.err.endswith("run the same command again; training goes on from the last checkpoint that is whole\n")
    monkeypatch.setattr(Trainer, "_save_checkpoint", lambda self, *rest: saved.append(self.state.global_step))
    first, second = saved
    saved.clear()
    assert train(run, folder, tmp_path).code == 0
    assert saved == [second] != [first]  # the first epoch was not trained again


def test_a_disk_that_is_full_while_a_model_is_saved(model, tmp_path, monkeypatch):
    folder = shutil.copytree(model, tmp_path / "model")
    before = (folder / "model.safetensors").read_bytes()
    network = tiny.model("wav2vec2", seed=5)
    monkeypatch.setattr(type(network), "save_pretrained", full)
    with pytest.raises(DialectError, match=r"model could not be written: .* a checkpoint that was there before stays"):
        save_for_hub(network, tiny.feature_extractor("wav2vec2"), folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
