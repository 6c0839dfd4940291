import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hf_dialects.errors import DialectError
from hf_dialects.retrieval_pool import Question, pool_of


def corpus(**columns):
    """Four sites that say two sentences, ids from the last to the first; `columns` replace others."""
    rows = [(site, one) for site in "dcba" for one in ("s1", "s0")]
    table = {
        "id": [f"{site}-{one}" for site, one in rows],
        "site": [site for site, _ in rows],
        "cluster": ["west"] * 4 + ["east"] * 4,
        "sentence_id": [one for _, one in rows],
    } | columns
    kinds = dict.fromkeys(table, Value("string")) | {"cluster": ClassLabel(names=["east", "west"])}
    return Dataset.from_dict(table, Features(kinds))


def test_utterances_come_in_the_order_of_their_ids():
    pool = pool_of(corpus(), Question())
    assert pool.attributes["id"].tolist() == ["a-s0", "a-s1", "b-s0", "b-s1", "c-s0", "c-s1", "d-s0", "d-s1"]
    assert pool.rows.tolist() == list(range(8))[::-1]
    assert pool.group == "cluster"
    assert pool.attributes["cluster"].tolist()[:2] == ["east"] * 2
    assert pool.notes == ()


def test_what_is_not_known_is_left_out_and_counted():
    data = corpus(sentence_id=["s1", "s0", None, "s0", "s1", "s0", "s1", "s0"])
    pool = pool_of(data, Question())
    assert len(pool.rows) == 7
    assert pool.notes == ("1 of 8 utterances have no sentence_id or no site.",)
    part = pool.of(["a-s0", "a-s1", "b-s0", "b-s1"], Question())
    assert part.rows.tolist() == [7, 6, 5, 4]
    assert part.notes[1] == "3 of 7 utterances are not embedded."


def test_groups_are_optional():
    assert pool_of(corpus().remove_columns("cluster"), Question()).group is None
    assert pool_of(corpus(), Question(group="none")).group is None
    assert pool_of(corpus(cluster=["west"] * 7 + [None]), Question()).group is None, "not everywhere known"


@pytest.mark.parametrize(
    ("change", "question", "message"),
    [
        ({}, {"between": "village"}, r"no column 'village'; it has cluster, id, recording, .*Name one .* --between"),
        ({}, {"parallel": "verse"}, "no column 'verse'; .* with --parallel"),
        ({}, {"group": "family"}, "no column 'family'; .* with --group"),
        ({"site": ["a"] * 8}, {}, "all 8 utterances have the same site, 'a': retrieval is between two or more"),
        ({"site": [None] * 8}, {}, "no recording has both sentence_id and site"),
        ({"sentence_id": [f"s{n}" for n in range(8)]}, {}, "no two of 4 values of site share 2 values of sentence_id"),
        ({"cluster": ["east", "west"] * 4}, {}, "site 'a' is in several values of cluster"),
        (
            {"cluster": ["west"] * 4 + ["east"] * 2 + [None] * 2},
            {"group": "cluster"},
            "cluster is unknown for 2 of 8 utterances, the first: a-s0; fill it in, .* or none with --group none",
        ),
    ],
)
def test_what_cannot_be_asked_is_one_message(change, question, message):
    with pytest.raises(DialectError, match=message):
        pool_of(corpus(**change), Question(**question))


def test_frames_of_another_corpus_are_named():
    with pytest.raises(DialectError, match="none of the 1 embedded recordings is among the 8 of the corpus, the first"):
        pool_of(corpus(), Question()).of(["x"], Question())
