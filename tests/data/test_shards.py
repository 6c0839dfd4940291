import hashlib
import io

import corpora
import pytest
import soundfile
from datasets import Dataset

from hf_dialects.data.shard_plan import plan_shards
from hf_dialects.data.shards import write_shards
from hf_dialects.errors import CorpusError

SPEAKERS = ("anna", "bert")


@pytest.fixture
def rows(tmp_path):
    """Twelve recordings of 0.1 to 0.21 s, in two splits whose rows alternate."""
    for number in range(12):
        corpora.tone(tmp_path / "wav" / f"{number:02d}.wav", seconds=0.1 + 0.01 * number, seed=number)

    def make():
        for number in range(12):
            yield {
                "id": f"wav/{number:02d}",
                "audio": {"bytes": None, "path": str(tmp_path / "wav" / f"{number:02d}.wav")},
                "dialect": ("north", "south", "east")[number % 3],
                "speaker": SPEAKERS[number % 2],
                "split": ("train", "test")[number % 2],
                "age": number + 20,
                "distance": 1.5 if number else 2,
                "native": number > 3,
            }

    return make


def read(out):
    """(file name, row) of every row, in the order of the files' names."""
    return [
        (path.name, row)
        for path in sorted((out / "data").glob("*.parquet"))
        for row in Dataset.from_parquet(str(path), cache_dir=str(out.parent / "cache"))
    ]


def digests(out):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (out / "data").iterdir()}


def test_every_row_is_written_once_with_its_audio_and_its_duration(rows, tmp_path):
    plan = plan_shards(rows, shard_bytes=10_000)
    write_shards(rows, plan, tmp_path / "out", progress=False)
    written = {row["id"]: row for _, row in read(tmp_path / "out")}
    assert len(read(tmp_path / "out")) == len(written) == 12
    for row in rows():
        found = written[row["id"]]
        with open(row["audio"]["path"], "rb") as file:
            assert found["audio"] == {"bytes": file.read(), "path": row["id"] + ".wav"}
        assert found["duration"] == pytest.approx(soundfile.info(io.BytesIO(found["audio"]["bytes"])).duration)
        assert plan.labels[found["dialect"]] == row["dialect"]
        assert {name: found[name] for name in ("speaker", "age", "distance", "native")} == {
            name: row[name] for name in ("speaker", "age", "distance", "native")
        }


def test_shards_keep_to_their_split_their_size_and_the_order_of_the_rows(rows, tmp_path):
    plan = plan_shards(rows, shard_bytes=10_000)
    write_shards(rows, plan, tmp_path / "out", progress=False)
    written = read(tmp_path / "out")
    assert {name: len([1 for file, _ in written if file == name]) for name, _ in written} == {
        shard.name: shard.rows for shard in plan.shards
    }
    assert len(plan.shards) > 4
    for split, first in (("train", 0), ("test", 1)):
        ids = [row["id"] for file, row in written if file.startswith(f"{split}-")]
        assert ids == [f"wav/{number:02d}" for number in range(first, 12, 2)]
    for shard in plan.shards:
        held = [len(row["audio"]["bytes"]) for file, row in written if file == shard.name]
        assert len(held) == 1 or sum(held) <= 10_000


def test_labels_are_sorted_and_columns_nobody_fills_are_left_out(rows):
    plan = plan_shards(rows)
    assert plan.labels == ("east", "north", "south")
    assert plan.columns == ("audio", "dialect", "speaker", "duration", "id")
    assert plan.extra == {"age": "int64", "distance": "float64", "native": "bool"}
    assert plan.features()["dialect"].names == ["east", "north", "south"]


def test_the_same_rows_give_the_same_bytes(rows, tmp_path):
    for name in ("one", "two"):
        write_shards(rows, plan_shards(rows, 10_000), tmp_path / name, progress=False)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert len(digests(tmp_path / "one")) > 4


def test_interrupted_writing_goes_on_at_the_next_shard(rows, tmp_path):
    plan = plan_shards(rows, 10_000)
    write_shards(rows, plan, tmp_path / "whole", progress=False)

    def broken():
        for number, row in enumerate(rows()):
            if number == 7:
                raise KeyboardInterrupt
            yield row

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        write_shards(broken, plan, out, progress=False)
    assert not (out / "data").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "data.part").iterdir()}
    assert 0 < len(kept) < len(plan.shards)
    write_shards(rows, plan, out, progress=False)
    assert digests(out) == digests(tmp_path / "whole")
    assert {name: (out / "data" / name).stat().st_mtime_ns for name in kept} == kept
    assert sorted(path.name for path in out.iterdir()) == ["data", "prepare.json"]


def test_a_folder_with_other_rows_is_not_added_to(rows, tmp_path):
    write_shards(rows, plan_shards(rows), tmp_path / "out", progress=False)

    def fewer():
        return list(rows())[:-1]

    with pytest.raises(CorpusError, match=r"out was prepared from other rows .*remove it, or name another folder"):
        write_shards(fewer, plan_shards(fewer), tmp_path / "out", progress=False)


def test_a_folder_with_something_else_in_it_is_not_touched(rows, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(CorpusError, match="mine is not empty and was not written by this command"):
        write_shards(rows, plan_shards(rows), tmp_path / "mine", progress=False)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_the_fingerprint_follows_the_rows_and_not_where_they_lie(rows, tmp_path):
    plan = plan_shards(rows)
    (tmp_path / "wav").rename(tmp_path / "moved")

    def moved():
        for row in rows():
            path = row["audio"]["path"].replace("/wav/", "/moved/")
            yield row | {"audio": {"bytes": None, "path": path}}

    assert plan_shards(moved).fingerprint == plan.fingerprint

    def relabelled():
        for row in moved():
            yield row | {"dialect": "west" if row["id"] == "wav/03" else row["dialect"]}

    assert plan_shards(relabelled).fingerprint != plan.fingerprint


def test_a_recording_that_is_no_audio_is_kept_without_duration(rows, tmp_path):
    (tmp_path / "wav" / "05.wav").write_bytes(b"not a wave file at all")
    write_shards(rows, plan_shards(rows), tmp_path / "out", progress=False)
    written = {row["id"]: row for _, row in read(tmp_path / "out")}
    assert [id for id, row in written.items() if row["duration"] is None] == ["wav/05"]
    assert len(written) == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "wav/00"}, "id 'wav/00' occurs twice"),
        ({"dialect": None}, r"row 4 \(wav/04\) has no dialect; every row needs id, audio, dialect"),
        ({"audio": {"bytes": None, "path": "nowhere.wav"}}, "audio of wav/04 is not there: nowhere.wav"),
        ({"split": None}, "1 of 12 rows have no split; give one to all rows or to none"),
        ({"age": "old"}, "column 'age' holds int and str; one of str, int, float, bool"),
        ({"age": [1, 2]}, "column 'age' holds int and list"),
    ],
)
def test_a_row_that_does_not_fit_is_named(rows, change, message):
    def changed():
        for row in rows():
            yield row | change if row["id"] == "wav/04" else row

    with pytest.raises(CorpusError, match=message):
        plan_shards(changed)


def test_no_rows_at_all_are_an_error():
    with pytest.raises(CorpusError, match="the corpus holds no rows"):
        plan_shards(list)
