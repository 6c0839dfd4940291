import pytest

from hf_dialects.data.script_options import read_options
from hf_dialects.errors import CorpusError


def rows(source, *, languages=(), readings="one", seed=0):
    return source, languages, readings, seed


def plain(source):
    return source


def test_values_become_what_the_defaults_are():
    given = ["languages=en_us, fr_fr,", "readings=all", "seed=7"]
    assert read_options(rows, given) == {"languages": ("en_us", "fr_fr"), "readings": "all", "seed": 7}
    assert read_options(rows, []) == read_options(plain, []) == {}
    assert read_options(rows, ["readings=a=b"]) == {"readings": "a=b"}


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        (rows, ["seeds=1"], "'seeds=1' is no option of this corpus; it takes languages=…, readings=…, seed=…"),
        (rows, ["source=x"], "'source=x' is no option"),
        (rows, ["seed"], "'seed' is no option"),
        (plain, ["seed=1"], "'seed=1' is no option of this corpus; it takes none"),
        (rows, ["seed=one"], "seed=one: a whole number is expected, such as seed=0"),
        (rows, ["seed=1", "seed=1"], "option seed is given twice; separate several values by commas"),
    ],
)
def test_what_is_no_option_is_told_with_those_there_are(function, given, message):
    with pytest.raises(CorpusError, match=message):
        read_options(function, given)
