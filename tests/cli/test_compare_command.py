import json

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hf_dialects.evaluation.compare import compare_runs
from hf_dialects.evaluation.results import build_results, write_results
from hf_dialects.inference import Predictions, grouping_of

LABELS = ["north", "south"]
GOLD = np.repeat([0, 1], 20)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Two evaluated runs on 40 utterances of 10 speakers; the second is right more often."""
    features = Features({"id": Value("string"), "speaker": Value("string"), "dialect": ClassLabel(names=LABELS)})
    columns = {"id": [f"u{row}" for row in range(40)], "speaker": [f"s{row // 4}" for row in range(40)]}
    rows = Dataset.from_dict({**columns, "dialect": GOLD.tolist()}, features=features)
    folders = []
    for name, right in (("plain", 0.6), ("better", 0.95)):
        folder = tmp_path_factory.mktemp("runs") / name
        hits = np.random.default_rng(0).random(40) < right
        probabilities = np.where(hits[:, None], np.eye(2)[GOLD], np.eye(2)[1 - GOLD]) * 0.8 + 0.1
        made = Predictions(
            columns["id"], GOLD, probabilities, np.ones(40, int), np.ones(40), grouping=grouping_of(rows)
        )
        made.write(folder / "predictions" / "test.parquet")
        write_results(build_results({"test": made}, {"test": rows}, LABELS, draws=50), folder / "results.json")
        folders.append(folder)
    return folders


def test_the_table_is_printed_and_the_json_beside_it_is_what_the_function_returns(run, runs, tmp_path):
    out = tmp_path / "new" / "comparison.json"
    left = run("compare", *runs, "--metric", "accuracy, macro_f1", "--json", out, "--seed", 3)
    assert left.code == 0
    assert json.loads(out.read_text()) == compare_runs(runs, ["accuracy", "macro_f1"], seed=3)
    lines = left.out.splitlines()
    assert lines[0] == "test: against plain, 2 tests"
    assert [line.split()[:2] for line in lines[2:4]] == [["better", "accuracy"], ["better", "macro"]]
    assert "  1 seed: seed variance is not resolved" in lines
    assert lines[-1] == f"written: {out}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "error: runs to compare: "),
        (
            (0, 1, "--metric", "wer"),
            "error: metrics that cannot be compared: 'wer'; those that can are accuracy, macro_f1",
        ),
        ((0, 1, "--metric", ""), "error: metrics that cannot be compared: none is named; those that can"),
        ((0, 1, "--split", "dev"), "holds no predictions of 'dev' (predictions found: test)"),
    ],
)
def test_bad_input_is_one_message(run, runs, arguments, message):
    left = run("compare", *(runs[one] if isinstance(one, int) else one for one in arguments))
    assert (left.code, left.out) == (1, "")
    assert message in left.err
    assert len(left.err.splitlines()) == 1
