"""eSpeak NG: the same in every fresh process, and clear about what it cannot do."""

import os
import shutil
import sys
from io import BytesIO
from pathlib import Path

import pytest
import soundfile

from hf_dialects.data.espeak import render
from hf_dialects.data.synthetic import SPEAKERS, VARIETIES, plan
from hf_dialects.errors import DialectError, MissingExtra

# breathy voices (f2, f5) hold noise, and every voice comes twice, since the second call differs from the first
CALLS = [
    {"text": "Nobody knows the name of that river.", "voice": voice, "pitch": pitch, "rate": 175}
    for voice in ("en-US+f2", "en-GB-scotland+f5", "en+m1", "en-US+m1", "en-029+Andrea")
    for pitch in (45, 55)
]


def test_two_fresh_processes_agree_exactly_and_voices_differ():
    first, second = list(render(CALLS)), list(render(CALLS))
    assert first == second
    assert len(set(first)) == len(CALLS)


def test_output_is_flac_at_16_khz_of_the_length_of_the_sentence():
    flac = next(render([{"text": "Nadie sabe el nombre de aquel río.", "voice": "es+m7", "pitch": 50, "rate": 175}]))
    with soundfile.SoundFile(BytesIO(flac)) as file:
        assert (file.format, file.samplerate, file.channels, file.subtype) == ("FLAC", 16000, 1, "PCM_16")
        assert 1.2 < file.frames / file.samplerate < 3
        assert abs(file.read()).max() > 0.1


def test_voices_of_the_design_are_in_the_wheel():
    import espeakng_loader

    data = Path(espeakng_loader.get_data_path())
    languages = {file.name for file in (data / "lang").rglob("*") if file.is_file()}
    variants = {file.name for file in (data / "voices" / "!v").iterdir()}
    assert {file for _, _, file in VARIETIES.values()} <= languages
    assert {speaker for speakers in SPEAKERS.values() for speaker in speakers} <= variants
    assert {utterance.voice for utterance in plan()} == {
        f"{file}+{speaker}"
        for _, _, file in VARIETIES.values()
        for speakers in SPEAKERS.values()
        for speaker in speakers
    }


@pytest.mark.parametrize("voice", ["en-US+nobody", "xx+m1"])
def test_unknown_voices_are_errors(voice):
    """eSpeak itself says nothing and speaks in another voice."""
    with pytest.raises(DialectError, match=rf"stopped after 0 of 1 .*no voice '{voice.replace('+', '[+]')}'"):
        list(render([{"text": "Hello.", "voice": voice}]))


def test_text_without_sound_is_an_error():
    with pytest.raises(DialectError, match=r"stopped after 1 of 2 utterances.* no sound for ' '"):
        list(render([{"text": "Hello.", "voice": "en+m1"}, {"text": " ", "voice": "en+m1"}]))


def test_a_process_that_dies_at_once_is_told(monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(DialectError, match=r"stopped after 0 of 5000 utterances \(status 1\)"):
        list(render(CALLS * 500))


def test_stopping_early_leaves_no_process_behind():
    files = render(CALLS * 20)
    next(files)
    files.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_without_the_wheel_the_pip_line_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(MissingExtra, match=r"espeakng_loader is not installed; run: pip install 'hf-dialects\[demo\]'"):
        next(render(CALLS))
