"""Setting bad recordings aside: what is left out, why, and what is kept as it was."""

import io

import numpy as np
import pytest
import soundfile
import tiny
from datasets import Dataset

from hf_dialects.data.screen import Skipped, count_reasons, read_skipped, screen, write_skipped
from hf_dialects.errors import CorpusError


def cell(waveform: np.ndarray, rate: int = tiny.RATE) -> dict:
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format="WAV", subtype="FLOAT")
    return {"bytes": file.getvalue(), "path": None}


def corpus(**cells) -> Dataset:
    return Dataset.from_dict({"id": list(cells), "dialect": [0] * len(cells), "audio": list(cells.values())})


def test_unusable_recordings_are_left_out_with_their_reason():
    found = corpus(
        good=cell(tiny.waveform(0.5)),
        short=cell(tiny.waveform(0.01)),
        silent=cell(np.zeros(8000, np.float32)),
        broken={"bytes": b"RIFF but no more", "path": None},
        gone={"bytes": None, "path": "nowhere/gone.wav"},
        low_rate=cell(tiny.waveform(0.5)[::2], 8000),
    )
    kept, skipped = screen(found, progress=False)
    assert list(kept["id"]) == ["good", "low_rate"]
    assert list(kept["duration"]) == pytest.approx([0.5, 0.5])
    assert {one.id: one.reason for one in skipped} == {
        "short": "too short",
        "silent": "silent",
        "broken": "corrupt",
        "gone": "missing",
    }
    assert "needs at least" in next(one.message for one in skipped if one.id == "short")
    assert count_reasons(skipped) == {"corrupt": 1, "missing": 1, "silent": 1, "too short": 1}


def test_nothing_usable_is_an_error_that_names_the_first():
    with pytest.raises(CorpusError, match=r"none of the 1 recordings can be used; the first: .*silence"):
        screen(corpus(silent=cell(np.zeros(8000, np.float32))), progress=False)


def test_the_list_is_written_and_read_back(tmp_path):
    listed = [Skipped("a, b", "corrupt", 'it says "no"\nand stops'), Skipped("007", "silent", "no sound")]
    write_skipped(listed, tmp_path / "skipped.csv")
    assert read_skipped(tmp_path / "skipped.csv") == listed
    write_skipped([], tmp_path / "none.csv")
    assert read_skipped(tmp_path / "none.csv") == []
