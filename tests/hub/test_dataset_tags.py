from io import BytesIO

import numpy as np
import pytest
import soundfile

from hf_dialects.hub.dataset_tags import ENDS, tags, told_name

NOISE = np.random.default_rng(0).integers(0, 256, 4 * ENDS, dtype=np.uint8).tobytes()


def recording(kind: str, **texts) -> bytes:
    content = BytesIO()
    with soundfile.SoundFile(content, "w", 16000, 1, format=kind) as file:
        for name, text in texts.items():
            setattr(file, name, text)
        file.write(0.1 * np.sin(np.arange(1600)))
    return content.getvalue()


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_tags_are_read_and_names_found_in_them(kind):
    data = recording(kind, artist="Bo Li", comment="number 12", software="a program")
    assert tags(data) == {"artist": "Bo Li", "comment": "number 12"}
    assert told_name(data, ["An", "Ann", "bo li"], tags(data)) == "bo li"
    assert told_name(data, ["Li", "12", "numb", "Lib"], tags(data)) is None
    assert tags(recording(kind)) == {}


def test_what_is_no_recording_has_no_tags():
    assert tags(b"no sound") == {}


@pytest.mark.parametrize(
    "told",
    [
        b"ada love",
        "Ada Love".encode("utf-16-le"),
        "ADA LOVE".encode("utf-16-be"),
        b"ADA LOVE",
    ],
)
@pytest.mark.parametrize("place", [0, 100, ENDS - 16, 4 * ENDS - 16])
def test_names_are_found_at_both_ends_in_all_encodings(told, place):
    data = NOISE[:place] + told + NOISE[place + len(told) :]
    assert told_name(data, ["nobody", "Ada Love"], {}) == "Ada Love"


def test_names_among_samples_and_short_ones_do_not_count():
    middle = NOISE[: 2 * ENDS] + b"Ada Love" + NOISE[2 * ENDS :]
    assert told_name(middle, ["Ada Love"], {}) is None
    assert told_name(b"xx Ann xx lucas", ["Ann", "Lucas"], {}) is None
    assert told_name(b"xx Lucas", ["Lucas"], {}) == "Lucas"
