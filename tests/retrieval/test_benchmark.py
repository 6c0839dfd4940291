"""hf_dialects.retrieval.benchmark against plain loops, its controls, and its intervals by simulation."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from hf_dialects.errors import DialectError
from hf_dialects.retrieval import FrameStatistics, retrieval_benchmark, seqsim_matrix
from hf_dialects.retrieval.draws import interval_over_pairs, mean_over_pairs
from hf_dialects.retrieval.overlap import jaccard, tokens

GROUPS = {"A1": "a", "A2": "a", "A3": "a", "B1": "b", "B2": "b", "S": "std"}


def corpus(noise=1.5, n_sentences=12, seed=0, missing=(), takes=(), size=12):
    """Sentences of 4 to 9 phones said at every site, each phone 1 to 3 frames; (frames, attributes)."""
    random = np.random.default_rng(seed)
    words = [random.normal(size=(random.integers(4, 10), size)) for _ in range(n_sentences)]
    frames, rows = [], []
    for site, group in GROUPS.items():
        for sentence, word in enumerate(words):
            for take in range(0 if (site, sentence) in missing else 1 + ((site, sentence) in takes)):
                said = np.repeat(word, random.integers(1, 4, len(word)), axis=0)
                frames.append((said + noise * random.normal(size=said.shape)).astype(np.float32))
                id = f"{site}-{sentence}-{take}"
                rows.append({"id": id, "site": site, "sentence_id": f"s{sentence}", "cluster": group})
    return frames, pd.DataFrame(rows)


def loop_recall(scores, attributes, k=1):
    """{(source, target): recall@k}, query by query, without ties."""
    rows = attributes.to_dict("records")
    found = {}
    for source in GROUPS:
        for target in GROUPS:
            ids = [{row["sentence_id"] for row in rows if row["site"] == site} for site in (source, target)]
            shared = ids[0] & ids[1]
            of = [
                [n for n, row in enumerate(rows) if row["site"] == site and row["sentence_id"] in shared]
                for site in (source, target)
            ]
            hits = []
            for query in of[0]:
                ranked = sorted(of[1], key=lambda other, query=query: -scores[query, other])
                hits.append(rows[query]["sentence_id"] in {rows[other]["sentence_id"] for other in ranked[:k]})
            if source != target:
                found[source, target] = np.mean(hits)
    return found


@pytest.fixture(scope="module")
def result():
    frames, attributes = corpus()
    return retrieval_benchmark(frames, attributes)


def test_everything_against_loops():
    frames, attributes = corpus(missing={("A1", 3), ("B2", 3), ("B2", 7)}, takes={("A2", 4), ("S", 4)})
    result = retrieval_benchmark(frames, attributes, k=(2,))
    scores = seqsim_matrix(frames)
    assert result.metrics == ["recall@1", "recall@2", "mrr"]
    for k in (1, 2):
        expected = loop_recall(scores, attributes, k)
        found = result.between_sites(f"recall@{k}")
        for (source, target), recall in expected.items():
            assert found.loc[source, target] == pytest.approx(recall), (source, target)
        assert np.isnan(np.diag(found)).all()
    recalls = loop_recall(scores, attributes)
    assert min(recalls.values()) < max(recalls.values()) < 1
    for source in "a", "b", "std":
        for target in "a", "b", "std":
            cell = [v for (s, t), v in recalls.items() if (GROUPS[s], GROUPS[t]) == (source, target)]
            if cell:
                assert result.matrix.loc[source, target] == pytest.approx(np.mean(cell))
            else:
                assert np.isnan(result.matrix.loc[source, target]), "one site has no pair of its own"
    assert result.value == pytest.approx(np.mean(list(recalls.values())))
    sites = result.sites.set_index("site")
    assert sites.loc["A1", "recall@1 from"] == pytest.approx(np.mean([recalls["A1", t] for t in GROUPS if t != "A1"]))
    assert sites.loc["A1", "recall@1 to"] == pytest.approx(np.mean([recalls[s, "A1"] for s in GROUPS if s != "A1"]))
    pairs = result.pairs.set_index(["source", "target"])
    assert pairs.loc[("A1", "B2"), "n"] == 10
    assert pairs.loc[("A1", "A2"), "n"] == 11
    assert pairs.loc[("A2", "S"), "n"] == 13, "one sentence has two takes"
    assert pairs.loc[("A2", "S"), "chance"] == pytest.approx((11 / 13 + 2 * 2 / 13) / 13)


def test_sentences_add_up(result):
    table = result.sentences
    assert table["n"].sum() == len(result.source) == 6 * 5 * 12
    assert (table["recall@1"] * table["n"]).sum() == pytest.approx(result.outcomes["SeqSim"].credit["recall@1"].sum())
    assert table["recall@1"].is_monotonic_increasing, "the hardest come first"


def test_controls(result):
    table = result.controls
    assert list(table.index[:1]) == ["SeqSim"]
    names = {"SeqSim", "CSLS", "mean vector", "duration only", "duration-matched distractors", "shuffled labels"}
    assert set(table.index) == names
    assert table.loc["SeqSim", "recall@1"] > 3 * table.loc["SeqSim", "chance"]
    assert table.loc["SeqSim", "chance"] == pytest.approx(1 / 12)
    assert table.loc["duration-matched distractors", "chance"] == pytest.approx(1 / 10)
    assert abs(table.loc["shuffled labels", "recall@1"] - 1 / 12) < 0.05
    assert table.loc["duration only", "ties"] > 0.2, "frames are few, many utterances are as long"
    assert table.loc["SeqSim", "ties"] == 0


def test_duration_alone_where_it_tells_all():
    frames, attributes = corpus(noise=50)
    attributes["duration"] = [1.0 + int(name[1:]) for name in attributes["sentence_id"]]
    result = retrieval_benchmark(frames, attributes, distractors=2)
    assert result.controls.loc["duration only", "recall@1"] == 1
    assert result.controls.loc["duration only", "ties"] == 0
    assert result.controls.loc["duration-matched distractors", "chance"] == pytest.approx(1 / 3)
    assert result.controls.loc["SeqSim", "recall@1"] < 0.3
    assert "Durations are seconds of the attribute duration; 2 distractors" in " ".join(result.notes)


def test_a_recording_copied_to_every_site_is_a_tie():
    """The right answer stands at the same place of every list: position may not count."""
    frames, attributes = corpus()
    same = [frames[0]] * len(frames)
    result = retrieval_benchmark(same, attributes)
    row = result.controls.loc["SeqSim"]
    assert (row["recall@1"], row["recall@5"]) == pytest.approx((1 / 12, 5 / 12))
    assert row["ties"] == 1
    assert row["mrr"] == pytest.approx(np.mean(1 / np.arange(1, 13)))


def test_own_controls_and_given_scores():
    frames, attributes = corpus()
    scores = seqsim_matrix(frames)
    result = retrieval_benchmark(frames, attributes, scores=scores, controls={"again": scores, "reversed": -scores})
    table = result.controls
    assert table.loc["again"].tolist() == table.loc["SeqSim"].tolist()
    assert table.loc["reversed", "recall@1"] < table.loc["SeqSim", "chance"]
    assert result.groups("mrr", "again").equals(result.groups("mrr"))


def test_directions_differ():
    """Where one utterance of B is close to all of A, only queries of A go astray."""
    scores = np.eye(4)
    attributes = {"site": list("AABB"), "sentence_id": list("1212"), "cluster": list("aabb")}
    scores[:2, 2:] = [[0.9, 0.1], [0.8, 0.7]]
    scores[2:, :2] = scores[:2, 2:].T
    result = retrieval_benchmark([np.eye(2)] * 4, attributes, scores=scores)
    assert result.matrix.loc["a", "b"] == 0.5
    assert result.matrix.loc["b", "a"] == 1
    hubs = result.hubs.set_index(["score", "site"])
    assert hubs.loc[("SeqSim", "B"), ["utterance", "share"]].tolist() == [2, 1.0]
    assert hubs.loc[("SeqSim", "A"), "share"] == 0.5
    assert result.controls.loc["CSLS", "recall@1"] == 1, "and CSLS brings them back"


def test_statistics_are_named():
    frames, attributes = corpus()
    shifted = [one + 20 for one in frames]
    others = FrameStatistics.fit([one + 20 for one in corpus(seed=5)[0]], "other speakers", range(len(frames)))
    plain = retrieval_benchmark(shifted, attributes)
    centred = retrieval_benchmark(shifted, attributes, statistics=others)
    assert centred.notes[0] == "Frames centred on other speakers."
    assert plain.notes[0] == "Frames as they are, neither centred nor whitened."
    assert centred.value > plain.value
    own = FrameStatistics.fit(shifted, "the pool", attributes["id"])
    assert "transductive: 72 of 72" in retrieval_benchmark(shifted, attributes, statistics=own).notes[0]
    with pytest.raises(DialectError, match="statistics need the attribute 'id'"):
        retrieval_benchmark(shifted, attributes.drop(columns="id"), statistics=own)


def test_overlap_of_texts():
    frames, attributes = corpus()
    assert retrieval_benchmark(frames, attributes).overlap is None
    alike = ["the sun", "the moon", ""]
    attributes["text"] = [alike[n % 3] for n in range(len(frames))]
    table = retrieval_benchmark(frames, attributes).overlap
    assert table["n"].tolist() == [0, 0, 0, 0, 240], "queries without a text are left out"
    assert tokens("The sun rose") == {"the", "sun", "rose"}
    assert tokens("太阳出来") == set("太阳出来")
    assert jaccard(tokens("the sun"), tokens("the moon")) == pytest.approx(1 / 3)


def test_interval_of_a_cell(result):
    whole = result.interval(n=300)
    assert whole.value == result.value
    assert whole.low < whole.value < whole.high
    assert (whole.n, whole.n_groups, whole.groups_per_class) == (360, 6, 1)
    assert whole.warning == "indicative (6 sites)"
    cell = result.interval(source="a", target="b", n=300)
    assert cell.value == pytest.approx(result.matrix.loc["a", "b"])
    assert (cell.n, cell.n_groups) == (72, 5)
    assert result.interval(n=300) == whole, "the same seed, the same draws"
    assert result.interval(control="shuffled labels", n=300).value < whole.low
    with pytest.raises(DialectError, match="no pair of sites from std to std"):
        result.interval(source="std", target="std")
    with pytest.raises(DialectError, match="there is no group 'c'; found: a, b, std"):
        result.interval(source="c")
    with pytest.raises(DialectError, match="there is no 'recall@9'; found: recall@1, recall@5, mrr"):
        result.interval("recall@9")


def population(n_sites, n_sentences, random):
    """Credits of all ordered pairs from effects of source, target and sentence, mean one half."""
    source, target, sentence = np.nonzero(np.ones((n_sites, n_sites, n_sentences)))
    kept = source != target
    source, target, sentence = source[kept], target[kept], sentence[kept]
    values = 0.5 + 0.08 * random.normal(size=n_sites)[source] + 0.08 * random.normal(size=n_sites)[target]
    values += 0.15 * random.normal(size=n_sentences)[sentence] + 0.2 * random.normal(size=len(source))
    return source, target, sentence, values


def test_intervals_cover():
    random = np.random.default_rng(0)
    hits, widths, means = [], [], []
    for _ in range(100):
        source, target, sentence, values = population(15, 20, random)
        found = interval_over_pairs(source, target, sentence, values, np.zeros(15, int), n=200)
        hits.append(found.low <= 0.5 <= found.high)
        widths.append(found.high - found.low)
        means.append(mean_over_pairs(source, target, values))
    assert np.mean(hits) >= 0.9
    assert np.mean(widths) < 1.35 * 2 * 1.96 * np.std(means), "and are not far too wide"


def test_sites_matter_and_sentences_matter():
    """Drawing only one of the two would be too narrow."""
    random = np.random.default_rng(1)
    source, target, sentence, values = population(15, 20, random)
    both = interval_over_pairs(source, target, sentence, values, np.zeros(15, int), n=500)
    of_site = interval_over_pairs(source, target, np.arange(len(values)), values, np.zeros(15, int), n=500)
    assert both.high - both.low > 1.2 * (of_site.high - of_site.low)


def test_of_two_sites_sentences_alone_are_drawn():
    random = np.random.default_rng(2)
    source, target, sentence, values = population(2, 20, random)
    found = interval_over_pairs(source, target, sentence, values, np.zeros(2, int), n=1000)
    means = values.reshape(2, 20).mean(0)
    draws = random.choice(means, (1000, 20)).mean(1)
    assert found.low == pytest.approx(np.quantile(draws, 0.02), abs=0.02)
    assert found.high == pytest.approx(np.quantile(draws, 0.98), abs=0.02)
    assert found.warning == "2 sites: the interval is over sentences alone"


def test_tables(result):
    page = result.to_markdown()
    lines = page.splitlines()
    assert lines[2].startswith(
        f"6 sites, 30 ordered pairs, 360 queries. recall@1 {result.value:.3f}".replace(" 0.", " .")
    )
    first = f"| a | {100 * result.matrix.loc['a', 'a']:.1f} | {100 * result.matrix.loc['a', 'b']:.1f} | "
    assert any(line.startswith(first) for line in lines)
    std = next(line for line in lines if line.startswith("| std | "))
    assert std.endswith("| – |")
    assert "indicative (5 sites)" in page
    assert all(note in page for note in result.notes)
    latex = result.to_latex("mrr")
    assert latex.startswith("\\begin{tabular}{lrrr}\n\\toprule\n & a & b & std \\\\\n\\midrule\na & ")
    read = pd.read_csv(io.StringIO(result.to_csv()))
    assert list(read.columns) == list(result.pairs.columns)
    assert len(read) == 30
    assert str(result) == f"recall@1 {result.value:.3f} over 30 ordered pairs of sites, chance 0.083"


def test_names_are_escaped():
    frames, attributes = corpus()
    attributes["cluster"] = attributes["cluster"].map({"a": "zh_dialect", "b": "b|c", "std": "50 %"})
    result = retrieval_benchmark(frames, attributes)
    assert r"zh\_dialect" in result.to_latex()
    assert r"50 \%" in result.to_latex()
    assert r"b\|c" in result.to_markdown()


def test_json(result):
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert set(content) == {"metrics", "controls", "sites", "sentences", "hubs", "pairs", "notes"}
    assert content["metrics"]["recall@1"]["value"] == pytest.approx(result.value)
    assert content["controls"][0]["control"] == "SeqSim"


def test_without_groups(result):
    frames, attributes = corpus()
    single = retrieval_benchmark(frames, attributes.drop(columns="cluster"), group=None)
    assert single.value == result.value
    assert single.matrix.to_numpy() == pytest.approx(np.array([[single.value]]))


def test_the_seed_shuffles_labels(result):
    frames, attributes = corpus()
    again, other = (retrieval_benchmark(frames, attributes, seed=seed) for seed in (0, 1))
    assert again.controls.equals(result.controls)
    assert other.controls.loc["shuffled labels", "mrr"] != result.controls.loc["shuffled labels", "mrr"]
    assert other.controls.loc["CSLS"].equals(result.controls.loc["CSLS"])


def test_pairs_without_two_shared_sentences_are_counted():
    frames, attributes = corpus()
    lonely = attributes["site"] == "S"
    attributes.loc[lonely, "sentence_id"] = ["s0", *(f"t{n}" for n in range(11))]
    result = retrieval_benchmark(frames, attributes)
    assert len(result.pairs) == 20
    assert "10 ordered pairs of sites share fewer than two sentences and are left out." in result.notes
    assert np.isnan(result.sites.set_index("site").loc["S", "mrr to"])
    result = retrieval_benchmark(frames, attributes.rename(columns={"site": "town"}), "town")
    assert "10 ordered pairs of values of town share fewer than two sentences and are left out." in result.notes
    assert result.interval(n=300).warning == "indicative (5 values of town)"
    assert "# Retrieval between values of town\n\n6 values of town, 20 ordered pairs" in result.to_markdown()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"cluster": None}, {}, "there is no attribute 'cluster'; found: id, site, sentence_id"),
        ({"cluster": "id"}, {}, "site 'A1' is in several values of cluster; expected one for each site"),
        ({"sentence_id": "id"}, {}, "no two of 6 values of site share 2 values of sentence_id"),
        ({}, {"scores": np.zeros((2, 2))}, r"scores have shape \(2, 2\) or hold NaN; expected \(72, 72\)"),
        ({}, {"controls": {"CSLS": np.zeros((72, 72))}}, "'CSLS' is a name of the benchmark's own"),
        ({}, {"controls": {"mine": np.zeros(3)}}, r"control 'mine' has shape \(3,\)"),
        ({}, {"k": (0,)}, "expected to be 1 or more"),
    ],
)
def test_wrong_input_is_told(change, options, message):
    frames, attributes = corpus()
    for name, other in change.items():
        attributes = attributes.drop(columns=name).assign(**({name: attributes[other]} if other else {}))
    with pytest.raises(DialectError, match=message):
        retrieval_benchmark(frames, attributes, **options)


def test_missing_values_and_lengths_are_told():
    frames, attributes = corpus()
    with pytest.raises(DialectError, match="site is missing in 1 of 72 rows, first in row 3"):
        retrieval_benchmark(frames, attributes.assign(site=["A1"] * 3 + [None] + ["A2"] * 68))
    with pytest.raises(DialectError, match=r"site has shape \(72,\); expected one value for each of 71 utterances"):
        retrieval_benchmark(frames[:-1], attributes)
    with pytest.raises(DialectError, match="attributes is a list; expected a DataFrame or a dict"):
        retrieval_benchmark(frames, [1])
