from itertools import combinations, permutations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from hf_dialects.errors import DialectError
from hf_dialects.metrics.mantel import great_circle_km, mantel, mutual_confusion


def table(size: int, seed: int) -> np.ndarray:
    half = np.random.default_rng(seed).random((size, size))
    return half + half.T


def slow_mantel(a, b, alternative, method):
    """Every order of the dialects, every pair, scipy's correlation."""
    correlate = {"spearman": spearmanr, "pearson": pearsonr}[method]
    pairs = list(combinations(range(len(a)), 2))

    def of(order):
        return correlate([a[order[i]][order[j]] for i, j in pairs], [b[i][j] for i, j in pairs])[0]

    given = of(range(len(a)))
    found = [of(order) for order in permutations(range(len(a)))]
    hits = {
        "greater": [one >= given - 1e-9 for one in found],
        "less": [one <= given + 1e-9 for one in found],
        "two-sided": [abs(one) >= abs(given) - 1e-9 for one in found],
    }[alternative]
    return given, sum(hits) / len(hits)


@pytest.mark.parametrize("method", ["spearman", "pearson"])
@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_equals_all_orders_one_after_the_other(method, alternative):
    a, b = table(5, 1), table(5, 2) + 0.5 * table(5, 1)
    found = mantel(a, b, alternative, method)
    assert (found.correlation, found.p) == pytest.approx(slow_mantel(a, b, alternative, method))
    assert (found.permutations, found.exact) == (120, True)


def test_drawn_orders_come_near_all_orders():
    a, b = table(6, 3), table(6, 4) + table(6, 3)
    exact, drawn = mantel(a, b, n=720), mantel(a, b, n=600, seed=1)
    assert (exact.exact, drawn.exact, drawn.permutations) == (True, False, 601)
    assert drawn.correlation == pytest.approx(exact.correlation)
    assert drawn.p == pytest.approx(exact.p, abs=4 * np.sqrt(exact.p * (1 - exact.p) / 600) + 1 / 601)
    assert drawn == mantel(a, b, n=600, seed=1)


def test_p_of_unrelated_tables_is_uniform():
    values = [mantel(table(7, seed), table(7, seed + 1000), n=99, seed=seed).p for seed in range(200)]
    assert np.mean(np.array(values) <= 0.1) == pytest.approx(0.1, abs=0.07)


def test_confusion_that_falls_with_distance_is_found():
    latitudes = np.linspace(37, 46, 8)
    distances = great_circle_km(latitudes, np.full(8, 12.0))
    counts = np.round(1000 * np.exp(-distances / 150))
    found = mantel(mutual_confusion(counts), distances, alternative="less", n=999)
    assert found.correlation == pytest.approx(-1, abs=0.05)
    assert found.p == pytest.approx(0.001, abs=0.002)


def test_distances_on_the_sphere():
    km = great_circle_km([41.9, 45.46, 0.0, 0.0], [12.5, 9.19, 0.0, 180.0])  # Rome, Milan, two antipodes
    assert km[0, 1] == pytest.approx(477, abs=2)
    assert km[2, 3] == pytest.approx(np.pi * 6371.0088)
    assert np.allclose(km, km.T)
    assert np.allclose(np.diag(km), 0)


def test_mutual_confusion_by_hand():
    found = mutual_confusion([[8, 2], [2, 2]])
    assert np.allclose(found, [[0.8, 0.35], [0.35, 0.5]])


def test_tables_that_cannot_be_tested():
    good = table(4, 0)
    with pytest.raises(DialectError, match="of 3 dialects has too few orders"):
        mantel(table(3, 0), table(3, 1))
    with pytest.raises(DialectError, match=r"shapes \(4, 4\) and \(5, 5\)"):
        mantel(good, table(5, 0))
    with pytest.raises(DialectError, match="the second table is not symmetric"):
        mantel(good, np.arange(16).reshape(4, 4))
    with pytest.raises(DialectError, match="all pairs have the same value in the first table"):
        mantel(np.ones((4, 4)), good)
    with pytest.raises(DialectError, match="alternative is 'more'"):
        mantel(good, good, alternative="more")
