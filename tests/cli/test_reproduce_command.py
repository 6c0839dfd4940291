import pytest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("salvi-table4", "--smoke"), "error: there is no experiment 'salvi-table4'; choose one of: salvi-table2"),
        (("salvi-table3",), "error: give the corpus with --data, or --smoke for a trial run"),
        (
            ("salvi-table3", "--data", "nowhere"),
            "error: table 3 of the paper fine-tunes xlsr-53-ita, whose checkpoint it does not name: give --ita-xlsr53",
        ),
        (("salvi-table2", "--data", "nowhere", "--axes", "pooling"), "error: --axes, --objectives, --settings and"),
        (
            ("salvi-table3", "--data", "nowhere", "--encoders", "xlsr-53,wavlm-large"),
            "error: table 3 is of one encoder",
        ),
        (("salvi-table2", "--smoke", "--part", "3/2"), "error: --part is '3/2'; it must be of the form 2/4"),
        (("salvi-table2", "--data", "nowhere", "training.batch=3"), "did you mean training.batch_size?"),
    ],
)
def test_bad_input_is_one_message(run, tmp_path, arguments, message):
    left = run("reproduce", *arguments, "--out", tmp_path)
    assert left.code == 1
    assert message in left.err
    assert len(left.err.splitlines()) == 1
