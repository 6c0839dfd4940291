import numpy as np
import pytest
import triple_loop

from hf_dialects.abx import abx
from hf_dialects.abx.significance import _weighted_scores, mean_of_pairs
from hf_dialects.errors import DialectError
from hf_dialects.metrics.intervals import expanded_tail, interval_ends
from hf_dialects.metrics.resampling import Factor, Resampling


def corpus(n_speakers, clips=4, dialects=2, effect=0.0, seed=0, size=6):
    """Clips of speakers nested in dialects; speakers are spread, clips of one speaker lie close together."""
    random = np.random.default_rng(seed)
    dialect = np.repeat(np.arange(dialects), n_speakers * clips)
    speaker = np.repeat(np.arange(dialects * n_speakers), clips)
    voices = random.standard_normal((dialects * n_speakers, size))
    centres = effect * np.eye(size)[:dialects]
    vectors = centres[dialect] + voices[speaker] + 0.5 * random.standard_normal((len(speaker), size))
    sentence = np.tile(np.arange(clips), dialects * n_speakers)
    return vectors, {"dialect": dialect, "speaker": speaker, "sentence": sentence, "gender": speaker % 2}


def plain_draws(order, attributes, by, weights, **conditions):
    """Scores of draws by the triple loop, weights (G, R) in the order of the groups' values."""
    groups = np.unique(attributes[by], return_inverse=True)[1].tolist()
    found = []
    for column in weights.T:
        kwargs = {"groups": groups, "weights": column.tolist(), **conditions}
        found.append(triple_loop.score(triple_loop.cells(order, attributes, "dialect", **kwargs)))
    return found


def test_draws_equal_the_weighted_triple_loop():
    """The very multiplicities that the interval draws, through three loops."""
    vectors, attributes = corpus(3, clips=2)
    vectors = np.round(10 * vectors).astype(int)
    conditions = {"differ": ("speaker",)}
    result = abx(vectors, attributes, "dialect", **conditions)
    resampling = Resampling(attributes["speaker"], None, attributes["dialect"], len(vectors))
    weights = resampling.groups.multiplicities(12, np.random.default_rng(0))
    found = _weighted_scores(result._counter, False, resampling, weights, None)
    expected = plain_draws(triple_loop.cosine_order(vectors), attributes, "speaker", weights, **conditions)
    assert any(score is None for score in expected), "a draw of one speaker twice leaves nothing to compare"
    for score, other in zip(found, expected, strict=True):
        assert (np.isnan(score) and other is None) or score == pytest.approx(other)


def test_interval_names_its_groups_and_repeats():
    vectors, attributes = corpus(10, effect=1.0)
    result = abx(vectors, attributes, "dialect", differ="speaker")
    found = result.interval(by="speaker", n=300, seed=3)
    assert found.low < result.score < found.high
    assert found.value == result.score
    assert (found.n, found.n_groups, found.groups_per_class, found.warning) == (80, 20, 10, None)
    assert found == result.interval(by=attributes["speaker"], n=300, seed=3)
    assert found != result.interval(by="speaker", n=300, seed=4)
    few = result.interval(by="gender", n=50)
    assert few.warning == "indicative (2 genders)"


def test_little_memory_gives_the_same_draws():
    vectors, attributes = corpus(6)
    conditions = {"on": "dialect", "by": "sentence", "differ": "speaker"}
    whole, narrow = (abx(vectors, attributes, **conditions, max_memory_bytes=memory) for memory in (1 << 30, 1 << 12))
    assert len(whole._counter.portions(60)) == 1 < len(narrow._counter.portions(60))
    assert narrow.permutation_band(by="speaker", n=60) == whole.permutation_band(by="speaker", n=60)
    found, other = (result.interval(by="speaker", n=60) for result in (whole, narrow))
    assert (found.low, found.high) == pytest.approx((other.low, other.high))


def test_interval_covers_the_true_score():
    """95 % intervals over 15 speakers per dialect; the true score is that of 300 speakers."""
    vectors, attributes = corpus(300, clips=2, effect=1.2, seed=99)
    truth = abx(vectors, attributes, "dialect", differ="speaker").score
    covered = 0
    for seed in range(100):
        vectors, attributes = corpus(15, clips=2, effect=1.2, seed=seed)
        found = abx(vectors, attributes, "dialect", differ="speaker").interval(by="speaker", n=200)
        covered += found.low <= truth <= found.high
    assert 90 <= covered <= 100


def test_resampling_clips_as_if_they_were_speakers_is_too_narrow():
    vectors, attributes = corpus(8, effect=1.0)
    result = abx(vectors, attributes, "dialect", differ="speaker")
    speakers = result.interval(by="speaker", n=300)
    clips = result.interval(by=np.arange(len(vectors)), n=300)
    assert clips.high - clips.low < 0.7 * (speakers.high - speakers.low)


def test_groups_that_make_up_the_cells_weigh_the_cells():
    """By sentence and over draws of sentences: the mean over cells, each as often as its sentence is drawn."""
    vectors, attributes = corpus(4, clips=5, effect=1.0)
    result = abx(vectors, attributes, "dialect", by="sentence")
    found = result.interval(by="sentence", n=400, seed=1)
    of_sentence = result.cells.groupby("sentence")["score"].mean().to_numpy()
    # a sentence has every dialect, so all sentences form one stratum
    factor = Factor("groups", attributes["sentence"], attributes["dialect"], len(vectors))
    weights = factor.multiplicities(400, np.random.default_rng(1))
    tail = expanded_tail(0.025, factor.degrees_of_freedom)
    assert (found.low, found.high) == pytest.approx(interval_ends(weights.T @ of_sentence / 5, result.score, tail))
    assert found.low < result.score < found.high
    both = result.interval(by="speaker", crossed="sentence", n=400)
    alone = result.interval(by="speaker", n=400)
    assert both.high - both.low > alone.high - alone.low


def test_groups_of_across_weigh_the_cells():
    random = np.random.default_rng(5)
    attributes = {"word": np.tile(list("uvw"), 12), "speaker": np.repeat(np.arange(12), 3)}
    vectors = random.standard_normal((36, 4)) + 2 * np.eye(4)[np.tile([0, 1, 2], 12)]
    result = abx(vectors, attributes, "word", across="speaker")
    found = result.interval(by="speaker", n=300)
    assert found.low < result.score < found.high
    assert found.n_groups == 12


def test_permutations_of_speakers_by_hand():
    """Two speakers per dialect: six ways to label four speakers; the score of each by a test of its own."""
    from itertools import permutations

    vectors, attributes = corpus(2, clips=2, effect=1.0)
    result = abx(vectors, attributes, "dialect")
    scores = set()
    for order in set(permutations([0, 0, 1, 1])):
        labels = np.array(order)[attributes["speaker"]]
        scores.add(round(abx(vectors, {"dialect": labels}, "dialect").score, 9))
    found = result.permutation_band(by="speaker", n=300)
    assert found.arrangements == 6
    assert round(found.score, 9) in scores
    assert {round(found.low, 9), round(found.high, 9)} <= scores
    assert (min(scores), max(scores)) == (round(found.low, 9), round(found.high, 9))
    assert found.warning == "indicative (4 speakers)"
    assert str(found).startswith(f"{result.score:.3f}, by chance {found.low:.3f} to {found.high:.3f}, p = ")


def test_a_real_difference_lies_above_the_band_and_chance_within():
    vectors, attributes = corpus(12, effect=2.0)
    found = abx(vectors, attributes, "dialect", differ="speaker").permutation_band(by="speaker", n=200)
    assert found.p == pytest.approx(1 / 201)
    assert found.low < found.mean < found.high < found.score
    values = []
    for seed in range(40):
        vectors, attributes = corpus(6, clips=2, seed=seed)
        band = abx(vectors, attributes, "dialect").permutation_band(by="speaker", n=99, seed=seed)
        values.append(band.p)
    assert np.mean(np.array(values) <= 0.25) == pytest.approx(0.25, abs=0.2)


def test_permuting_clips_takes_speakers_for_dialects():
    """No difference between dialects, four speakers: clip by clip it looks significant, speaker by speaker not."""
    vectors, attributes = corpus(2, clips=12, effect=0.0, seed=1)
    result = abx(vectors, attributes, "dialect")
    assert result.permutation_band(by=np.arange(len(vectors)), n=200).p < 0.01
    assert result.permutation_band(by="speaker", n=200).p > 0.05


def test_labels_are_exchanged_within_values_of_by_that_groups_share():
    """With by gender, a speaker takes the dialect of a speaker of the same gender: 2 x 3 orders of (1 of 2, 2 of 3)."""
    vectors, _ = corpus(5, clips=2, dialects=1)
    speaker = np.repeat(np.arange(5), 2)
    attributes = {
        "speaker": speaker,
        "gender": np.array(list("ffmmm"))[speaker],
        "dialect": np.array(list("abaab"))[speaker],
    }
    assert abx(vectors, attributes, "dialect", by="gender").permutation_band("speaker", n=10).arrangements == 2 * 3
    assert abx(vectors, attributes, "dialect").permutation_band("speaker", n=10).arrangements == 10


def test_labels_crossed_with_groups_are_exchanged_within_them():
    """Three speakers, each with two microphones: 2 orders per speaker."""
    random = np.random.default_rng(6)
    attributes = {"microphone": np.tile(list("ab"), 12), "speaker": np.repeat(np.arange(3), 8)}
    vectors = random.standard_normal((24, 3)) + 3 * np.eye(3)[np.tile([0, 1], 12)]
    result = abx(vectors, attributes, "microphone", differ="speaker")
    found = result.permutation_band("speaker", n=100)
    assert (found.arrangements, found.n_groups) == (8, 3)
    assert found.low < found.score
    assert found.high == found.score, "two of eight orders keep every microphone apart"
    same = abx(vectors, attributes, "microphone", by="speaker").permutation_band("speaker", n=20)
    assert "no permutation changes the score" in same.warning


def test_mean_of_pairs_leaves_out_what_is_missing():
    found = mean_of_pairs(np.array([[0.5, 1.0, np.nan], [np.nan] * 3]))
    assert found[0] == 0.75
    assert np.isnan(found[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.interval(), "no attribute 'recording'; found: dialect, speaker"),
        (lambda r: r.interval(by="speaker", level=2), "level is 2; expected a coverage"),
        (lambda r: r.interval(by="speaker", n=1), "n is 1; expected at least 2 draws"),
        (
            lambda r: r.interval(by="speaker", crossed="gender"),
            "crossed='gender' varies within a context; expected one",
        ),
        (lambda r: r.interval(by=np.arange(3)), r"groups has shape \(3,\)"),
        (lambda r: r.permutation_band(by="speaker", n=0), "n is 0 and level 0.95"),
    ],
)
def test_messages(call, message):
    vectors, attributes = corpus(2, clips=2, dialects=2)
    result = abx(vectors, attributes, "dialect", by="sentence")
    with pytest.raises(DialectError, match=message):
        call(result)
