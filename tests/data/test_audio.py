import io
import os
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.data import audio
from hf_dialects.data.audio import clipped_share, decode, duration_s, encode, is_silent, resample
from hf_dialects.errors import AudioError

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "float wav": ("WAV", "FLOAT"),
    "flac": ("FLAC", "PCM_16"),
    "vorbis": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
}
LOSSY = ("vorbis", "opus", "mp3")


def chirp(seconds: float, rate: int = 16000) -> np.ndarray:
    """A rising tone of 200 Hz to 2 kHz: no part of it equals another."""
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * (200 * time + 900 / seconds * time**2))).astype(np.float32)


def file_of(waveform: np.ndarray, rate: int, format: str, **options) -> bytes:
    container, subtype = FORMATS[format]
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format=container, subtype=subtype, **options)
    return file.getvalue()


def reason(cell, **options) -> str:
    with pytest.raises(AudioError) as caught:
        decode(cell, **options)
    return caught.value.reason


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_gives_back_the_waveform(format):
    wave = chirp(1.0)
    found = decode(file_of(wave, 16000, format))
    assert found.dtype == np.float32
    assert found.shape == wave.shape
    assert np.corrcoef(found, wave)[0, 1] > 0.99
    if format not in LOSSY:
        assert np.abs(found - wave).max() <= 1 / 32768


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000])
def test_any_rate_becomes_the_wanted_one(rate):
    found = decode(file_of(chirp(0.5, rate), rate, "flac"), 16000)
    assert abs(len(found) - 8000) <= 1
    assert np.abs(found - chirp(0.5))[200:-200].max() < 5e-3


def test_channels_are_averaged():
    left, right = chirp(0.2), -0.25 * chirp(0.2)
    found = decode(file_of(np.stack([left, right], 1), 16000, "float wav"))
    assert np.abs(found - (left + right) / 2).max() < 1e-6


def test_a_cell_is_bytes_before_path_or_path_or_either_alone(tmp_path):
    one, other = chirp(0.1), chirp(0.2)
    path = tmp_path / "a.flac"
    path.write_bytes(encode(one, 16000))
    data = encode(other, 16000)
    assert len(decode({"bytes": data, "path": str(path)})) == len(other)
    for cell in ({"bytes": None, "path": str(path)}, str(path), path):
        assert len(decode(cell)) == len(one)
    assert len(decode({"bytes": data, "path": None})) == len(decode(data)) == len(other)


@pytest.mark.parametrize("name", ["a.wav", "a.raw", "a.mp3", "a.txt", "a", "ü ñ.flac"])
def test_the_content_counts_not_the_suffix(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(encode(chirp(0.1), 16000, "flac"))
    assert len(decode(path)) == 1600


@pytest.mark.parametrize("format", ["wav", "flac", "vorbis", "opus", "mp3"])
@settings(max_examples=15, deadline=None)
@given(data=st.data(), rate=st.sampled_from([8000, 16000, 44100, 48000]))
def test_a_cut_equals_the_cut_of_the_whole(format, data, rate):
    if format == "opus" and rate == 44100:
        rate = 24000
    file = file_of(chirp(1.0, rate), rate, format)
    whole = decode(file)
    start = data.draw(st.integers(0, len(whole) - 200))
    end = data.draw(st.integers(start + 100, len(whole) + 400))
    found = decode(file, start_s=start / 16000, end_s=end / 16000)
    assert len(found) == min(end, len(whole)) - start
    assert np.abs(found - whole[start:end]).max() < (1e-5 if format != "opus" else 2e-2)  # Opus settles after a jump


def test_a_cut_reads_only_its_part(monkeypatch):
    wave = chirp(20.0)
    read = []
    plain = soundfile.SoundFile.read

    def counting(self, *arguments, **options):
        block = plain(self, *arguments, **options)
        read.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    file = encode(wave, 16000)
    assert len(decode(file, start_s=10.0, end_s=10.5)) == 8000
    assert sum(read) == 8000
    read.clear()
    assert len(decode(file, 8000, start_s=10.0, end_s=10.5)) == 4000
    assert 8000 <= sum(read) < 8500


def test_a_cut_behind_the_end_is_empty_and_a_backward_one_wrong():
    file = encode(chirp(0.5), 16000)
    with pytest.raises(AudioError, match=r"holds no samples after 2.0 s, it lasts 0.500 s") as caught:
        decode(file, start_s=2.0)
    assert caught.value.reason == "empty"
    for options in ({"start_s": -0.1}, {"start_s": 0.2, "end_s": 0.2}):
        with pytest.raises(ValueError, match="start_s must be at least 0 and end_s after it"):
            decode(file, **options)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_files_cut_short_are_corrupt(format, share):
    file = file_of(chirp(3.0), 16000, format)
    assert reason(file[: int(len(file) * share)]) == "corrupt"


def test_a_wav_that_breaks_off_says_what_is_missing():
    file = encode(chirp(1.0), 16000, "wav")
    with pytest.raises(AudioError, match="breaks off: its header states 32000 bytes of samples, 9956 are there"):
        decode(file[:10000])


def patched(file: bytes, at: int, new: bytes) -> bytes:
    return file[:at] + new + file[at + len(new) :]


def test_streamed_files_of_unstated_length_are_read_to_their_end():
    wav, flac = encode(chirp(1.0), 16000, "wav"), encode(chirp(1.0), 16000, "flac")
    endless = patched(wav, wav.index(b"data") + 4, b"\xff" * 4)
    unstated = patched(flac, 21, bytes([flac[21] & 0xF0]) + b"\0" * 4)  # total samples of STREAMINFO
    assert soundfile.info(io.BytesIO(unstated)).frames == 2**63 - 1  # else this shows nothing
    for file in (endless, unstated):
        assert np.abs(decode(file) - chirp(1.0)).max() <= 1 / 32768
        assert duration_s(file) == 1.0
    for start in (0.1, 0.25, 0.9):
        cut = decode(unstated, start_s=start, end_s=start + 0.1)
        assert np.array_equal(cut, decode(flac)[round(start * 16000) :][:1600])


def test_absurd_headers_are_refused_without_the_memory_they_claim():
    import tracemalloc

    wav, flac = encode(chirp(1.0), 16000, "wav"), encode(chirp(1.0), 16000, "flac")
    rate = wav.index(b"fmt ") + 12
    many = patched(flac, 21, bytes([flac[21] | 0x0F]) + b"\xff" * 4)  # 2**36 - 1 samples: 256 GiB
    tracemalloc.start()
    for hz in (1, 999, 768_001, 2**31 - 1):
        with pytest.raises(AudioError, match=rf"its header says {hz} Hz; expected 1000 to 768000 Hz"):
            decode(patched(wav, rate, struct.pack("<I", hz)))
    with pytest.raises(AudioError, match="16000 of 68719476735 samples can be read"):
        decode(many)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_mp3_whose_length_is_estimated_wrongly_is_not_cut_silently():
    noise = np.random.default_rng(0).normal(0, 0.05, 16000 * 8).astype(np.float32)
    quiet = np.zeros(16000 * 8, np.float32)
    file = file_of(np.concatenate([noise, quiet, noise]), 16000, "mp3", bitrate_mode="VARIABLE", compression_level=0.5)
    header = file.index(file[:2], 4)  # the second frame: without the first, which holds the Xing header
    assert b"Info" in file[:header] or b"Xing" in file[:header]
    assert len(decode(file)) == 16000 * 24
    assert soundfile.info(io.BytesIO(file[header:])).frames < 16000 * 20  # else this shows nothing
    with pytest.raises(AudioError, match="its length is not stated and was estimated wrongly"):
        decode(file[header:])


def test_unusable_recordings_say_why_and_which(tmp_path):
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    none = tmp_path / "none.wav"
    soundfile.write(none, np.zeros(0), 16000)
    text = tmp_path / "page.wav"
    text.write_text("<html>not found</html>")
    pointer = tmp_path / "pointer.wav"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    cases = {
        tmp_path / "nowhere.wav": ("missing", "is missing: there is no such file"),
        tmp_path: ("missing", "is missing"),
        empty: ("empty", "is empty: it holds no bytes"),
        none: ("empty", "holds no samples"),
        text: ("corrupt", "is corrupt or no audio file"),
        pointer: ("corrupt", "is a Git LFS pointer.*git lfs pull"),
    }
    for path, (expected, message) in cases.items():
        with pytest.raises(AudioError, match=message) as caught:
            decode({"bytes": None, "path": str(path)})
        assert caught.value.reason == expected
        assert str(path) in str(caught.value)
    assert reason({"bytes": None, "path": None}) == reason(None) == "missing"
    with pytest.raises(AudioError, match=r"^<5 bytes> is corrupt"):
        decode(b"RIFF\0")
    with pytest.raises(TypeError, match=r"got ndarray; for a decoded column: dataset\.cast_column"):
        decode(np.zeros(3))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    assert reason(tmp_path / "pipe.wav") == "missing"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [16000, 8000])
def test_samples_that_are_not_finite_are_refused(value, rate):
    wave = chirp(0.2, rate)
    wave[100] = value
    file = file_of(wave, rate, "float wav")
    assert reason(file) == "not finite"
    assert np.isfinite(decode(file, start_s=0.1)).all()  # the rest of it can be used


@settings(max_examples=150, deadline=None)
@given(
    format=st.sampled_from(list(FORMATS)),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), max_size=6),
    end=st.floats(0, 1),
)
def test_damaged_files_decode_or_raise_audio_errors(format, edits, end):
    file = file_of(chirp(0.1), 16000, format)
    for place, new in edits:
        at = int(place * len(file))
        file = patched(file, at, new)[: len(file)]
    file = file[: int(end * len(file))]
    try:
        found = decode(file)
    except AudioError as error:
        found = error
    if isinstance(found, AudioError):
        assert found.reason in ("corrupt", "empty", "not finite")
    else:
        assert found.dtype == np.float32
        assert found.ndim == 1
        assert np.isfinite(found).all()


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44100, 16000), (48000, 16000), (16000, 8000), (8000, 16000)])
def test_resampling_keeps_the_pass_band_and_stops_aliases(from_rate, to_rate):
    limit = min(from_rate, to_rate) / 2
    time = np.arange(from_rate) / from_rate

    def gain_db(frequency: float) -> float:
        found = resample(np.sin(2 * np.pi * frequency * time), from_rate, to_rate)
        return 20 * np.log10(found[to_rate // 4 : -to_rate // 4].std() * np.sqrt(2))

    for share in (0.1, 0.5, 0.8, 0.9):
        assert abs(gain_db(share * limit)) < 0.01
    if from_rate > to_rate:
        for share in (1.0, 1.1, 1.2):
            assert gain_db(share * limit) < -130


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(0, 3000),
    from_rate=st.sampled_from([8000, 11025, 16000, 44100]),
    to_rate=st.sampled_from([8000, 16000]),
)
def test_resampling_gives_the_length_it_promises(n, from_rate, to_rate):
    found = resample(np.zeros(n), from_rate, to_rate)
    assert found.dtype == np.float32
    assert len(found) == -(-n * to_rate // from_rate)


@pytest.mark.parametrize("format", ["flac", "wav", "opus"])
def test_encode_and_decode_are_inverse(format):
    wave = chirp(0.5)
    file = encode(wave, 16000, format)
    found = decode(file)
    assert len(found) == len(wave)
    assert np.corrcoef(found, wave)[0, 1] > 0.99
    if format != "opus":
        assert np.abs(found - wave).max() <= 1 / 32768
        assert np.array_equal(decode(encode(found, 16000, format)), found)
    assert duration_s(file) == 0.5
    loud = decode(encode(3 * wave, 16000, "flac"))
    assert np.abs(loud - np.clip(3 * wave, -1, 1)).max() < 1e-4


def test_encode_refuses_what_it_cannot_write():
    for wave in (np.zeros(0), np.zeros((4, 2)), np.array([np.nan])):
        with pytest.raises(ValueError, match="at least one sample, all finite"):
            encode(wave, 16000)
    with pytest.raises(ValueError, match="format must be one of wav, flac, opus, got 'mp3'"):
        encode(np.ones(9), 16000, "mp3")
    with pytest.raises(ValueError, match=r"Opus knows the rates .* got 44100; resample first"):
        encode(np.ones(9), 44100, "opus")


@pytest.mark.parametrize("format", FORMATS)
def test_duration_comes_from_the_header(format, tmp_path):
    assert duration_s(file_of(chirp(1.5), 16000, format)) == pytest.approx(1.5, abs=1e-3)


def test_silence_is_measured_around_its_mean():
    assert is_silent(np.zeros(100))
    assert is_silent(np.full(100, 0.3))  # an offset alone cannot be heard
    assert is_silent(np.zeros(0))
    assert not is_silent(chirp(0.1))
    quiet = 0.01 * chirp(0.1)
    assert not is_silent(quiet)
    assert is_silent(quiet, threshold=0.006)


def test_clipped_share_counts_samples_at_full_scale():
    wave = np.array([1.0, -1.0, 0.5, 0.999, 0.9989, 0, 0, 0, 0, 0])
    assert clipped_share(wave) == pytest.approx(0.3)
    assert clipped_share(np.zeros(0)) == 0
    assert clipped_share(decode(encode(4 * chirp(1.0), 16000))) > 0.5


@settings(max_examples=100, deadline=None)
@given(from_rate=st.integers(1000, 768_000), to_rate=st.sampled_from([8000, 16000, 24000]))
def test_ratios_stay_small_and_rates_true_to_50_millionths(from_rate, to_rate):
    up, down = audio.rate_ratio(from_rate, to_rate)
    assert down <= audio.LARGEST_FACTOR
    assert up <= max(to_rate, audio.LARGEST_FACTOR)
    assert up / down == pytest.approx(to_rate / from_rate, rel=50e-6)


def test_samples_no_recorder_writes_are_refused_and_integers_written_as_floats_are_not():
    wave = chirp(0.1)
    assert np.abs(decode(file_of(wave * 2**31, 16000, "float wav"))).max() == pytest.approx(2**30, rel=1e-3)
    wave[5] = 1e15
    with pytest.raises(AudioError, match=r"is corrupt: a sample is 1e\+15; full scale is 1") as caught:
        decode(file_of(wave, 16000, "float wav"))
    assert caught.value.reason == "corrupt"
