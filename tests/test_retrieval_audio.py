import numpy as np
import parallel_sites
import pytest

from hf_dialects.abx.dtw import dtw
from hf_dialects.errors import AudioError, DialectError
from hf_dialects.retrieval_audio import listen, negated_dtw, spoken_span, trimmed

RATE = 16000


def test_speech_starts_after_the_silence_and_ends_before_it():
    tone = 0.3 * np.sin(np.arange(8000) / 5).astype(np.float32)
    waveform = np.concatenate([np.zeros(4800), tone, np.zeros(3300)]).astype(np.float32)
    assert spoken_span(waveform) == pytest.approx((0.3, 0.81)), "whole frames of 30 ms"
    assert spoken_span(tone) == (0.0, 0.5)
    assert spoken_span(np.zeros(1600, np.float32)) == (0.0, 0.1), "without speech all is kept"


def test_frames_of_silence_are_left_out():
    frames = np.arange(50)[:, None] * np.ones(3)
    spans = np.array([(0.3, 0.81), (0.0, 9.0), (0.5, 0.5), (7.0, 8.0)])
    found = trimmed([frames] * 4, spans, 50.0)
    assert [(one[0, 0], one[-1, 0]) for one in found] == [(15, 40), (0, 49), (25, 25), (49, 49)]


def test_recordings_are_heard_one_by_one(tmp_path):
    folder = parallel_sites.write(tmp_path / "corpus")
    paths = [folder / f"Aa-{number}.wav" for number in range(3)]
    heard = listen(paths, progress=False)
    expected = np.array([len(parallel_sites.melody(number, 0)) / RATE for number in range(3)])
    assert heard.durations == pytest.approx(expected)
    assert np.abs(heard.speech[:, 0] - parallel_sites.QUIET_S).max() < 0.03
    assert np.abs(expected - parallel_sites.QUIET_S - heard.speech[:, 1]).max() < 0.03
    assert heard.mel[0].shape == (int((expected[0] - 0.032) / 0.02) + 1, 40)
    assert np.abs(heard.mel[0].mean(0)).max() < 1e-4
    (folder / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(AudioError, match=r"broken\.wav"):
        listen([*paths, folder / "broken.wav"], progress=False)


def test_warping_is_of_pairs_between_sites_and_never_undefined():
    random = np.random.default_rng(0)
    mel = [random.normal(size=(length, 40)).astype(np.float32) for length in (5, 9, 7, 6)]
    site = np.array([0, 0, 1, 2])
    found = negated_dtw(mel, site)(np.arange(4), 3)
    assert found.shape == (3, 4)
    for one in range(3):
        for other in range(4):
            expected = -dtw(mel[one], mel[other]) if site[one] != site[other] else 0
            assert found[one, other] == pytest.approx(expected)
    silent = listen([quiet_file()], progress=False).mel[0]
    assert np.isfinite(negated_dtw([silent, mel[0]], np.array([0, 1]))(np.arange(2), 1)).all()
    with pytest.raises(DialectError, match="an utterance lasts 84 s; at most 82 s can be warped"):
        negated_dtw([np.ones((4200, 40))], np.zeros(1))


def quiet_file() -> bytes:
    """A recording whose mel frames are all the same."""
    from hf_dialects.data.audio import encode

    return encode(np.tile(np.array([0.5, -0.5], np.float32), 4000), RATE, "wav")
