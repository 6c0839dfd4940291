import pytest
from hf_dialects.dataset_scripts import embedded

from hf_dialects.data.load import load_corpus
from hf_dialects.data.prepare import prepare_corpus
from hf_dialects.data.synthetic import load_fixture, plan


@pytest.fixture
def small(monkeypatch):
    """The fixture corpus in place of the embedded one, which takes half a minute to render."""
    corpus = load_fixture()
    monkeypatch.setattr(embedded, "load_embedded", lambda progress: corpus)
    return corpus


def test_rows_carry_names_and_their_split(small):
    rows = list(embedded.rows())
    assert [row["id"] for row in rows] == [id for name in small for id in small[name]["id"]]
    dialects, clusters = (small["test"].features[column] for column in ("dialect", "cluster"))
    last = small["test"][-1]
    assert rows[-1] == last | {
        "dialect": dialects.int2str(last["dialect"]),
        "cluster": clusters.int2str(last["cluster"]),
        "split": "test",
    }


def test_it_is_prepared_without_a_source(small, tmp_path):
    told = []
    prepare_corpus(embedded, None, tmp_path / "out", progress=False, report=told.append)
    assert told[0] == "warning: the corpus holds 192 recordings; the published corpus holds 3,840"
    splits = load_corpus(tmp_path / "out")
    for name, dataset in small.items():
        assert set(splits[name]["id"]) == set(dataset["id"])
        first = splits[name][0]
        same = dataset[list(dataset["id"]).index(first["id"])]
        assert first["audio"]["bytes"] == same["audio"]["bytes"]
        labels = (
            splits[name].features["dialect"].int2str(first["dialect"]),
            dataset.features["dialect"].int2str(same["dialect"]),
        )
        assert labels[0] == labels[1]
    assert splits["train"].features["cluster"].names == ["english", "iberian"]


def test_the_published_count_is_that_of_the_plan():
    assert len(plan()) == embedded.RECORDINGS
