"""Corrections of labels: what a file may hold, and what they change."""

import csv

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hf_dialects.data.corrections import Applied, apply_corrections, check_corrections, read_corrections
from hf_dialects.errors import CorpusError

HEAD = "id,gold,corrected,action,note"
CLUSTERS = {"coast": "low", "hills": "high", "marsh": "low"}
NAMES = sorted(CLUSTERS)


@pytest.fixture
def corpus():
    """a, b, c on the coast; d, e in the hills; f in the marsh; g without label."""
    features = Features(
        {
            "dialect": ClassLabel(names=NAMES),
            "speaker": Value("string"),
            "cluster": ClassLabel(names=["high", "low"]),
            "id": Value("string"),
        }
    )
    dialects = ["coast"] * 3 + ["hills"] * 2 + ["marsh"]
    columns = {
        "dialect": [NAMES.index(name) for name in dialects] + [-1],
        "speaker": [*"xxyzzz", None],
        "cluster": [["high", "low"].index(CLUSTERS[name]) for name in dialects] + [None],
        "id": list("abcdefg"),
    }
    return Dataset.from_dict(columns, features=features)


def write(tmp_path, *lines, head=HEAD, encoding="utf-8"):
    path = tmp_path / "corrections.csv"
    path.write_text("\n".join([head, *lines]) + "\n", encoding=encoding)
    return path


def labels(dataset):
    names = dataset.features["dialect"].names
    pairs = zip(dataset["id"], dataset["dialect"], strict=True)
    return {id: names[label] if label >= 0 else None for id, label in pairs}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file_is_read_as_it_was_written(tmp_path, encoding):
    path = tmp_path / "corrections.csv"
    rows = [("d/1, take 2", "hills", "coast", "relabel", 'says "wasser",\nnot "woter"'), ("ä", "coast", "", "drop", "")]
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows([HEAD.split(","), *rows])
    assert [(one.id, one.gold, one.corrected, one.action, one.note) for one in read_corrections(path)] == rows


def test_the_note_may_be_missing(tmp_path):
    (one,) = read_corrections(write(tmp_path, "a,coast,coast,keep", head="id,gold,corrected,action"))
    assert (one.action, one.note) == ("keep", "")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,coast,hills,relable,"], "line 2: the action for 'a' is 'relable'; it must be keep, relabel, drop"),
        (["a,coast,hills,,"], "line 2: the action for 'a' is ''"),
        (["a,coast,,relabel,"], "line 2: 'a' is to be relabelled, but the column corrected is empty"),
        (["b,,,drop,", "a,coast,coast,relabel,"], "line 3: 'a' .* is 'coast', the label that it has"),
        ([",coast,,drop,"], "line 2: the id is empty"),
        (["a,coast,,drop,", "b,coast,,keep,", "a,coast,,keep,"], "corrects 1 recordings twice: 'a'; leave one line"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(tmp_path, lines, message):
    with pytest.raises(CorpusError, match=message):
        read_corrections(write(tmp_path, *lines))


def test_a_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="lacks the columns gold, corrected; corrections have id, gold, corrected"):
        read_corrections(write(tmp_path, "a,drop", head="id,action"))
    with pytest.raises(
        CorpusError, match=r"there is no corrections file .*nowhere\.csv; the page of hf-dialects datamap"
    ):
        read_corrections(tmp_path / "nowhere.csv")


def test_relabelled_dropped_and_kept(corpus, tmp_path):
    path = write(tmp_path, "a,coast,hills,relabel,", "e,hills,,drop,noise", "f,marsh,marsh,keep,", "g,,coast,relabel,")
    train, applied = apply_corrections(corpus, read_corrections(path))
    assert applied == Applied(relabelled=2, dropped=1, kept=1, held_out=0)
    assert labels(train) == {"a": "hills", "b": "coast", "c": "coast", "d": "hills", "f": "marsh", "g": "coast"}
    cluster = train.features["cluster"]
    assert [cluster.int2str(one) for one in train["cluster"]] == ["high", "low", "low", "high", "low", "low"]
    assert train.features == corpus.features
    assert train.column_names == corpus.column_names
    assert list(train["speaker"])[:3] == ["x", "x", "y"]
    assert labels(corpus)["a"] == "coast", "the corpus itself is left alone"


def test_a_dialect_that_training_lacks_has_no_cluster_to_give(corpus, tmp_path):
    train, _ = apply_corrections(
        corpus.select([0, 1]), read_corrections(write(tmp_path, "a,coast,hills,relabel,", "b,coast,,keep,"))
    )
    assert labels(train) == {"a": "hills", "b": "coast"}
    assert list(train["cluster"]) == [None, 1]


def test_other_splits_are_left_alone_and_counted(corpus, tmp_path):
    corrections = read_corrections(
        write(tmp_path, "a,coast,hills,relabel,", "d,hills,,drop,", "e,hills,coast,relabel,", "f,marsh,,drop,")
    )
    train, applied = apply_corrections(corpus.select([0, 1, 2]), corrections)
    assert labels(train) == {"a": "hills", "b": "coast", "c": "coast"}
    assert str(applied) == (
        "corrections in training: 1 relabelled, 0 dropped, 0 kept\n"
        "3 corrections are of recordings in validation or test: not applied"
    )
    assert str(Applied(0, 1, 2, 0)) == "corrections in training: 0 relabelled, 1 dropped, 2 kept"
    assert str(Applied(0, 0, 0, 1)).endswith("1 correction is of a recording in validation or test: not applied")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("zz,coast,,drop,", "1 of 2 corrections are of recordings that the corpus does not have: 'zz'; were they made"),
        ("a,coast,desert,relabel,", "1 dialects that the corpus does not have: 'desert'; it has coast, hills, marsh"),
        ("a,hills,,drop,", "1 corrections .* another label .*: 'a' is 'hills' in the file and 'coast' in the corpus"),
        ("g,coast,,drop,", "'g' is 'coast' in the file and '' in the corpus"),
    ],
)
def test_corrections_of_another_corpus_are_refused(corpus, tmp_path, line, message):
    corrections = read_corrections(write(tmp_path, line, "b,coast,,keep,"))
    with pytest.raises(CorpusError, match=message):
        check_corrections(corrections, [corpus.select(range(3)), corpus.select(range(3, 7))])
    if "recordings that" not in message:  # what is not in training may be elsewhere
        with pytest.raises(CorpusError, match=message):
            apply_corrections(corpus, corrections)


def test_many_are_named_by_the_first_five(corpus, tmp_path):
    lines = [f"z{n},coast,,drop," for n in range(7)]
    with pytest.raises(CorpusError, match=r"7 of 7 .*: 'z0', 'z1', 'z2', 'z3', 'z4' …; were"):
        check_corrections(read_corrections(write(tmp_path, *lines)), [corpus])
