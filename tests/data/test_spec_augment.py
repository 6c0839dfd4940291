"""SpecAugment: masks within their bounds, a warp that keeps length and ends, nothing without cause."""

import numpy as np
import pytest

from hf_dialects.data.spec_augment import SpecAugment, _stretched
from hf_dialects.errors import RecipeError

NOTHING = {"time_warp": 0, "frequency_masks": 0, "time_masks": 0, "probability": 1.0}


def features(frames: int, bins: int = 20) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((frames, bins)).astype(np.float32)


def rngs(n: int):
    return (np.random.default_rng(seed) for seed in range(n))


def test_time_masks_cover_no_more_than_their_share():
    augment = SpecAugment(**NOTHING | {"time_masks": 10, "time_mask_width": 30, "time_share": 0.15})
    given, covered = features(400), []
    for rng in rngs(200):
        found = augment(given, rng)
        masked = (found != given).any(1)
        assert (found[masked] == given.mean()).all()
        covered.append(masked.sum())
    assert max(covered) <= 60  # two masks of 30
    assert max(covered) > 40
    assert 20 < np.mean(covered) < 32  # two uniform widths of 0 to 30, overlapping at times


def test_short_utterances_have_narrower_masks():
    augment = SpecAugment(**NOTHING | {"time_masks": 10, "time_mask_width": 100, "time_share": 0.15})
    widths = {int((augment(features(40), rng) != features(40)).any(1).sum()) for rng in rngs(100)}
    assert widths == {0, 1, 2, 3, 4, 5, 6}
    assert np.array_equal(augment(features(5), np.random.default_rng(0)), features(5))


def test_frequency_masks():
    augment = SpecAugment(**NOTHING | {"frequency_masks": 1, "frequency_mask_width": 5})
    widths = {int((augment(features(30), rng) != features(30)).any(0).sum()) for rng in rngs(100)}
    assert widths == {0, 1, 2, 3, 4, 5}


def test_the_warp_keeps_length_and_ends():
    augment = SpecAugment(**NOTHING | {"time_warp": 20})
    given = np.repeat(np.arange(100, dtype=np.float32)[:, None], 3, axis=1)
    middles = set()
    for rng in rngs(100):
        found = augment(given, rng)
        assert found.shape == given.shape
        assert abs(found[0, 0] - given[0, 0]) <= 10  # 20 frames may become one
        assert abs(found[-1, 0] - given[-1, 0]) <= 10
        assert (np.diff(found[:, 0]) >= 0).all()  # order in time stays
        middles.add(round(float(found[50, 0])))
    assert len(middles) > 10
    short = features(41)
    assert np.array_equal(augment(short, np.random.default_rng(0)), short)


def test_stretching_by_hand():
    ramp = np.array([[0.0], [1.0], [2.0], [3.0]], dtype=np.float32)
    assert _stretched(ramp, 8)[:, 0].tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    assert _stretched(ramp, 2)[:, 0].tolist() == [0.5, 2.5]


def test_probability_and_copies():
    given = features(300)
    before = given.copy()
    changed = [not np.array_equal(SpecAugment(probability=0.7)(given, rng), given) for rng in rngs(300)]
    assert 0.6 < np.mean(changed) < 0.8
    assert np.array_equal(given, before)
    assert np.array_equal(SpecAugment(probability=0)(given, np.random.default_rng(0)), given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_share": 1.5}, "spec_augment.time_share must be between 0 and 1, got 1.5"),
        ({"time_masks": -1}, "spec_augment.time_masks must be a whole number of at least 0, got -1"),
        ({"probability": 2}, "spec_augment.probability must be between 0 and 1"),
        ({"time_mask": 2}, "spec_augment has no option 'time_mask'; did you mean 'time_masks'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(RecipeError, match=message):
        SpecAugment.from_recipe(options)
