import finished
import numpy as np
import pytest
import soundfile
import tiny

from hf_dialects.saving import set_temperature

TEMPERATURE = 0.05  # tells varieties apart that a model without training hardly does


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory):
    """A finished, calibrated run; windows of 2 s every second."""
    corpus = finished.recordings(tmp_path_factory.mktemp("recordings"))
    run_dir = finished.run(tmp_path_factory.mktemp("runs") / "accents", corpus)
    set_temperature(run_dir / "model", TEMPERATURE)
    return run_dir


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Recordings: one with a pause, a silent one, and files that cannot be used."""
    folder = tmp_path_factory.mktemp("given")
    paused = np.concatenate([tiny.waveform(3.0), np.zeros(4 * tiny.RATE, np.float32), tiny.waveform(2.5, seed=1)])
    soundfile.write(folder / "paused.wav", paused, tiny.RATE)
    soundfile.write(folder / "silent.wav", np.zeros(3 * tiny.RATE, np.float32), tiny.RATE)
    (folder / "cut.wav").write_bytes((folder / "paused.wav").read_bytes()[:20_000])
    (folder / "text.mp3").write_text("no recording")
    (folder / "empty.wav").write_bytes(b"")
    return folder
