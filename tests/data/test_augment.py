import pickle

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.data.augment import Noise, Reverb, Speed, Telephone, WaveformAugment
from hf_dialects.data.spectral_augment import SpectralAugment
from hf_dialects.errors import RecipeError

RATE = 16000
EVERYTHING = {name: {"probability": 1.0} for name in ("noise", "reverb", "speed", "telephone")}


def tone(hz: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def level_db(waveform: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(waveform, dtype=np.float64)) + 1e-20)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 4000),
    st.sampled_from([8000, 16000, 22050]),
    st.sampled_from([1e-5, 0.1, 1.0, 5.0]),
    st.sets(st.sampled_from(sorted(EVERYTHING)), min_size=1),
    st.integers(0, 100),
)
def test_waveforms_stay_finite_bounded_and_repeatable(n, rate, scale, names, seed):
    waveform = (scale * rng(seed).uniform(-1, 1, n)).astype(np.float32)
    before = waveform.copy()
    augment = WaveformAugment.from_recipe({name: EVERYTHING[name] for name in names})
    out = augment(waveform, rate, rng(seed))
    assert out.dtype == np.float32
    assert out.ndim == 1
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= max(1.0, np.abs(waveform).max()) + 1e-6
    assert 0.9 * n - 1 <= len(out) <= n / 0.9 + 1
    assert "speed" in names or len(out) == n
    assert np.array_equal(waveform, before)
    assert np.array_equal(out, augment(waveform, rate, rng(seed)))


@pytest.mark.parametrize("waveform", [np.zeros(100, np.float32), np.zeros(0, np.float32)])
def test_silence_and_nothing_are_left_alone(waveform):
    assert np.array_equal(WaveformAugment(**EVERYTHING)(waveform, RATE, rng()), waveform)


def test_probability_is_the_share_of_waveforms():
    waveform = tone(440, 0.05)
    for probability, low, high in ((0.0, 0, 0), (1.0, 300, 300), (0.3, 60, 120)):
        augment = WaveformAugment(noise={"probability": probability})
        changed = sum(not np.array_equal(augment(waveform, RATE, rng(i)), waveform) for i in range(300))
        assert low <= changed <= high
    assert np.array_equal(WaveformAugment()(waveform, RATE, rng()), waveform)


@pytest.mark.parametrize("color", ["white", "pink"])
@pytest.mark.parametrize("snr", [-5.0, 10.0, 30.0])
def test_noise_has_the_ratio_that_was_drawn(color, snr):
    waveform = tone(440) * 0.1
    noisy = Noise(snr_db=snr, colors=color)(waveform, RATE, rng())
    assert level_db(waveform) - level_db(noisy - waveform) == pytest.approx(snr, abs=0.01)


def test_ratios_fill_their_range():
    waveform, noise = tone(440, 0.1), Noise(snr_db=(5, 30))
    ratios = [level_db(waveform) - level_db(noise(waveform, RATE, rng(i)) - waveform) for i in range(200)]
    assert 5 <= min(ratios) < 7
    assert 28 < max(ratios) <= 30.01


def test_pink_noise_falls_by_three_db_per_octave():
    silence_but_one = tone(440, 20) * 1e-3
    for color, slope in (("white", 0.0), ("pink", -3.01)):
        noise = Noise(snr_db=0, colors=color)(silence_but_one, RATE, rng()) - silence_but_one
        power = np.abs(np.fft.rfft(noise)) ** 2
        hz = np.fft.rfftfreq(len(noise), 1 / RATE)
        octaves = [10 * np.log10(power[(hz >= f) & (hz < 2 * f)].mean()) for f in (100, 200, 400, 800, 1600, 3200)]
        assert np.polyfit(range(6), octaves, 1)[0] == pytest.approx(slope, abs=0.15)


def test_recorded_noise_comes_from_the_folder(tmp_path):
    (tmp_path / "street").mkdir()
    soundfile.write(tmp_path / "street" / "hum.wav", tone(1000, 0.25), RATE)  # shorter than the waveform: repeats
    waveform = tone(100)
    noise = Noise(snr_db=0, folder=str(tmp_path))
    added = noise(waveform, RATE, rng()) - waveform
    spectrum = np.abs(np.fft.rfft(added))
    assert np.argmax(spectrum) == 1000  # 1 Hz per bin
    assert level_db(added) == pytest.approx(level_db(waveform), abs=0.01)
    with pytest.raises(RecipeError, match=r"holds no \.wav"):
        Noise(folder=str(tmp_path / "nowhere"))


def test_reverberation_decays_by_sixty_db_in_its_time():
    impulse = np.zeros(RATE, np.float32)
    impulse[0] = 1
    wet = Reverb(t60_s=0.5, direct_to_reverberant_db=0)(impulse, RATE, rng())
    tail = wet[1 : RATE // 2]
    assert level_db(wet[:1]) - level_db(tail) - 10 * np.log10(len(tail)) == pytest.approx(0, abs=0.1)
    blocks = np.square(tail[: 7 * 1000], dtype=np.float64).reshape(7, 1000).mean(1)  # 1000 samples: 60 / 8 dB
    assert np.polyfit(range(7), 10 * np.log10(blocks), 1)[0] == pytest.approx(-7.5, abs=0.4)
    assert np.abs(wet[RATE // 2 + 1 :]).max() < 1e-6
    assert level_db(wet) == pytest.approx(level_db(impulse), abs=0.01)


def test_speed_shortens_and_raises_the_pitch():
    fast = Speed(factor=1.1)(tone(1000), RATE, rng())
    assert len(fast) == pytest.approx(RATE / 1.1, abs=1)
    spectrum = np.abs(np.fft.rfft(fast * np.hanning(len(fast))))
    assert np.argmax(spectrum) * RATE / len(fast) == pytest.approx(1100, abs=2)
    assert np.array_equal(Speed(factor=1)(tone(1000), RATE, rng()), tone(1000))


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_telephone_keeps_the_band_and_nothing_else(rate):
    line = Telephone()

    def gain(hz):
        waveform = tone(hz, 1.0, rate)
        return level_db(line(waveform, rate, rng())[rate // 4 :]) - level_db(waveform)

    assert gain(1000) == pytest.approx(0, abs=0.3)
    assert gain(100) < -35
    assert gain(300) == pytest.approx(-3, abs=0.5)
    if rate > 8000:
        assert gain(3400) == pytest.approx(-3, abs=0.5)
        assert gain(6000) < -60


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"nois": {}}, "waveform augmentation has no option 'nois'; did you mean 'noise'"),
        ({"noise": {"snr": 3}}, r"noise has no option 'snr'; did you mean 'snr_db'\? \(valid: probability, snr_db, "),
        ({"noise": {"snr_db": [30, 5]}}, r"noise.snr_db must be \[lowest, highest\], got \[30, 5\]"),
        ({"noise": {"colors": ["brown"]}}, "noise.colors must be of white, pink"),
        ({"speed": {"factor": [0, 1]}}, r"speed.factor must be \[lowest, highest\] within 0.5 to 2"),
        ({"reverb": {"probability": 1.5}}, "reverb.probability must be between 0 and 1, got 1.5"),
        ({"reverb": True}, "reverb must be a mapping of options, got True"),
        ({"telephone": {"band_hz": 300}}, "two different edges"),
    ],
)
def test_wrong_recipes_are_refused(recipe, message):
    with pytest.raises(RecipeError, match=message):
        WaveformAugment.from_recipe(recipe)


def test_workers_can_receive_augmentation():
    for augment, data in ((WaveformAugment(**EVERYTHING), (tone(440), RATE)), (SpectralAugment(), (np.eye(9),))):
        again = pickle.loads(pickle.dumps(augment))
        assert np.array_equal(augment(*data, rng()), again(*data, rng()))


# feature-level


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 150),
    st.sampled_from([1, 2, 40, 80]),
    st.floats(0, 0.3),
    st.floats(0, 0.3),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 50),
)
def test_features_keep_their_bins_and_range(frames, bins, frequency, time, frequency_masks, time_masks, seed):
    features = rng(seed).normal(-4, 3, (frames, bins)).astype(np.float32)
    before = features.copy()
    augment = SpectralAugment(frequency, time, frequency_masks, 8, time_masks, 20)
    out = augment(features, rng(seed))
    assert out.dtype == np.float32
    assert out.shape[1] == bins
    assert abs(out.shape[0] - frames) <= time * frames + 1
    if frames:
        assert out.shape[0] >= 1
        assert features.min() - 1e-4 <= out.min()
        assert out.max() <= features.max() + 1e-4
    assert np.array_equal(features, before)
    assert np.array_equal(out, augment(features, rng(seed)))


def test_zero_strength_changes_nothing():
    features = rng().normal(size=(50, 40)).astype(np.float32)
    assert np.array_equal(SpectralAugment(0, 0)(features, rng()), features)
    assert np.array_equal(SpectralAugment(0, 0, 3, 0, 3, 0)(features, rng()), features)
    assert np.array_equal(SpectralAugment(0.3, 0.3, 2, 8, 2, 8, probability=0)(features, rng()), features)


class Uniform:
    """Stands in for a generator: every factor is the given one."""

    def __init__(self, factor):
        self.factor = factor

    def random(self):
        return 0.0

    def uniform(self, low, high):
        return self.factor


@pytest.mark.parametrize("factor", [0.88, 1.0, 1.12])
def test_frequency_warp_reads_bin_times_factor(factor):
    ramp = np.tile(np.arange(40, dtype=np.float32), (5, 1))  # each bin holds its number
    out = SpectralAugment(0.12, 0)(ramp, Uniform(factor))
    np.testing.assert_allclose(out[2], np.minimum(np.arange(40) * factor, 39), rtol=1e-5)


@pytest.mark.parametrize(("factor", "frames"), [(0.88, 88), (1.0, 100), (1.12, 112)])
def test_time_warp_stretches_between_first_and_last_frame(factor, frames):
    ramp = np.repeat(np.arange(100, dtype=np.float32)[:, None], 3, axis=1)  # each frame holds its number
    out = SpectralAugment(0, 0.12)(ramp, Uniform(factor))
    np.testing.assert_allclose(out, np.repeat(np.linspace(0, 99, frames)[:, None], 3, axis=1), rtol=1e-4, atol=1e-4)


def test_warps_equal_interpolation():
    features = rng(1).normal(size=(37, 40)).astype(np.float32)
    out = SpectralAugment(0.12, 0.12)(features, Uniform(1.07))
    bins = np.array([np.interp(np.minimum(np.arange(40) * 1.07, 39), np.arange(40), frame) for frame in features])
    expected = np.array([np.interp(np.linspace(0, 36, 40), np.arange(37), column) for column in bins.T]).T
    np.testing.assert_allclose(out, expected, atol=1e-4)


def test_factors_fill_their_range():
    lengths = [len(SpectralAugment(0, 0.12)(np.ones((100, 2), np.float32), rng(i))) for i in range(300)]
    assert (min(lengths), max(lengths)) == (88, 112)


def test_masks_take_the_mean_of_their_bin():
    features = rng().normal(size=(60, 40)).astype(np.float32) + np.arange(40, dtype=np.float32)
    widths = {"bins": set(), "frames": set()}
    for seed in range(200):
        out = SpectralAugment(0, 0, frequency_masks=1, frequency_mask_width=6)(features, rng(seed))
        masked = np.flatnonzero((out != features).any(0))
        assert np.allclose(out[:, masked], features.mean(0)[masked], atol=1e-4)
        assert len(masked) == 0 or np.ptp(masked) + 1 == len(masked)
        widths["bins"].add(len(masked))
        out = SpectralAugment(0, 0, time_masks=1, time_mask_width=9)(features, rng(seed))
        masked = np.flatnonzero((out != features).any(1))
        assert np.allclose(out[masked], features.mean(0), atol=1e-4)
        widths["frames"].add(len(masked))
    assert widths == {"bins": set(range(7)), "frames": set(range(10))}


def test_masks_never_cover_more_than_half():
    features = rng().normal(size=(5, 4)).astype(np.float32)
    for seed in range(50):
        out = SpectralAugment(0, 0, frequency_masks=1, frequency_mask_width=99)(features, rng(seed))
        assert (out != features).any(0).sum() <= 2


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"warp_frequence": 0.1}, "did you mean 'warp_frequency'"),
        ({"warp_time": 1.0}, "warp_time must be at least 0 and below 1, got 1.0"),
        ({"time_masks": -1}, "time_masks must be a whole number of at least 0, got -1"),
        ({"probability": 2}, "spectral augmentation.probability must be between 0 and 1"),
    ],
)
def test_wrong_spectral_recipes_are_refused(recipe, message):
    with pytest.raises(RecipeError, match=message):
        SpectralAugment.from_recipe(recipe)
