"""hf_dialects.evaluation.groups: the unit of resampling is read off the corpus."""

import numpy as np
import pytest
from datasets import Dataset

from hf_dialects.errors import CorpusError
from hf_dialects.evaluation.groups import find_groups, positions_of


def found(gold, column=None, **columns):
    ids = [f"u{i}" for i in range(len(gold))]
    return find_groups(Dataset.from_dict({"id": ids, **columns}), ids, np.array(gold), column)


EMPTY = [None, None, "", None]
NAMED = ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("columns", "unit"),
    [
        ({"speaker": NAMED, "recording": NAMED, "site": NAMED}, "speaker"),
        ({"speaker": EMPTY, "recording": NAMED, "site": NAMED}, "recording"),
        ({"recording": EMPTY, "site": NAMED}, "site"),
        ({"session": NAMED}, "utterance"),
        ({"speaker": EMPTY, "recording": EMPTY, "site": EMPTY}, "utterance"),
    ],
)
def test_unit_is_speaker_else_recording_else_site_else_utterance(columns, unit):
    groups = found([0, 0, 1, 1], **columns)
    assert groups.unit == unit
    assert len(set(groups.values)) == (4 if unit == "utterance" else 2)
    assert groups.warning == ("utterances taken as independent" if unit == "utterance" else None)


def test_a_column_can_be_chosen():
    assert found([0, 0, 1, 1], "session", speaker=["a", "b", "c", "d"], session=NAMED).unit == "session"


def test_a_chosen_column_must_hold_something():
    with pytest.raises(CorpusError, match=r"no utterance has a value in 'site'.*group by another column"):
        found([0, 0, 1, 1], "site", site=EMPTY)
    with pytest.raises(CorpusError, match="the corpus has no column 'place'; it has id, speaker"):
        found([0, 0, 1, 1], "place", speaker=NAMED)


def test_utterances_of_unknown_speaker_stand_alone_and_are_told():
    groups = found([0, 0, 0, 1], speaker=["a", "a", None, None])
    assert len(set(groups.values)) == 3
    assert groups.warning == "2 utterances have no speaker and are taken as independent"


def test_an_unknown_speaker_is_not_taken_for_one_whose_name_is_the_id():
    assert len(set(found([0, 0, 0], speaker=["u2", "u2", None]).values)) == 2


def test_nested_where_every_speaker_has_one_dialect():
    assert found([0, 0, 1, 1], speaker=NAMED).nested
    assert not found([0, 1, 0, 1], speaker=NAMED).nested
    assert found([0, 0, 1, 1], speaker=NAMED).to_dict() == {
        "group_unit": "speaker",
        "strata": "dialect",
        "crossed": None,
    }


def test_crossed_where_speakers_share_most_sentences():
    same = found([0, 0, 1, 1], speaker=NAMED, sentence_id=["s1", "s2", "s1", "s2"])
    assert same.to_dict()["crossed"] == "sentence_id"
    assert same.crossed.tolist() == ["=s1", "=s2", "=s1", "=s2"]
    # half of the utterances is not most of them
    assert found([0, 0, 1, 1], speaker=NAMED, sentence_id=["s1", "s2", "s1", "s4"]).crossed is None
    # all say the one sentence: nothing that could be resampled along
    assert found([0, 0, 1, 1], speaker=["a", "b", "c", "d"], sentence_id=["s1"] * 4).crossed is None
    assert found([0, 0, 1, 1], speaker=NAMED, sentence_id=EMPTY).crossed is None
    assert found([0, 0, 1, 1], sentence_id=["s1", "s1", "s2", "s2"]).crossed is None


def test_an_utterance_without_sentence_is_a_sentence_of_its_own():
    groups = found([0, 0, 0, 1, 1], speaker=["a", "a", "a", "b", "b"], sentence_id=["s1", "s2", None, "s1", "s2"])
    assert groups.crossed.tolist() == ["=s1", "=s2", "#u2", "=s1", "=s2"]


def test_a_part_keeps_the_unit_and_judges_anew():
    groups = found([0, 1, 1, 1], speaker=NAMED, sentence_id=["s1", "s2", "s1", "s2"])
    part = groups.part(np.array([1, 2, 3]))
    assert (groups.nested, part.nested) == (False, True)
    assert part.values.tolist() == ["=a", "=b", "=b"]
    assert part.crossed.tolist() == ["=s2", "=s1", "=s2"]


def test_positions_follow_ids():
    rows = Dataset.from_dict({"id": ["c", "a", "b"]})
    assert positions_of(rows, ["a", "c"]).tolist() == [1, 0]
    with pytest.raises(CorpusError, match=r"1 of 2 predictions have an id that is not in the corpus \(first: 'x'\)"):
        positions_of(rows, ["a", "x"])
    with pytest.raises(CorpusError, match="id 'a' stands 2 times in the corpus; ids must be unique"):
        positions_of(Dataset.from_dict({"id": ["a", "b", "a"]}), ["b"])
