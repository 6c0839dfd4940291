import inspect

import pytest

from hf_dialects import dataset_scripts
from hf_dialects.errors import CorpusError
from hf_dialects.hub.dataset_facts import ALLOWED, BY_ROW, REFUSED, WITH_TERMS, facts_of

NAMES = [
    "arabic_speech_commands",
    "common_voice",
    "embedded",
    "fleurs",
    "fsdd",
    "lre17",
    "pangloss",
    "vivaldi",
    "yubao",
]


def test_the_names_are_those_of_the_files():
    assert dataset_scripts.names() == NAMES


@pytest.mark.parametrize("name", dataset_scripts.names())
def test_every_script_says_what_a_card_needs(name):
    script = dataset_scripts.script(name)
    title, _, facts = script.__doc__.partition("\n")
    assert title.endswith(".")
    assert len(facts.strip().splitlines()) >= 3
    assert script.LICENSE
    assert script.CITATION
    assert script.RECORDINGS is None or script.RECORDINGS > 0
    source, *options = inspect.signature(script.rows).parameters.values()
    assert source.name == "source"
    assert all(one.kind is one.KEYWORD_ONLY and isinstance(one.default, (str, int, tuple)) for one in options)
    assert callable(script.main)
    facts = facts_of(script)
    assert facts.sharing in (ALLOWED, WITH_TERMS, BY_ROW, REFUSED)
    assert bool(facts.reason) == (facts.sharing != ALLOWED)


def test_corpora_that_cannot_be_redistributed_are_refused():
    refused = [name for name in NAMES if facts_of(dataset_scripts.script(name)).sharing == REFUSED]
    assert refused == ["lre17", "vivaldi", "yubao"]


def test_an_unknown_corpus_is_an_error_that_lists_the_known():
    with pytest.raises(CorpusError, match=f"no corpus is called 'timit'; known are {', '.join(NAMES)}"):
        dataset_scripts.script("timit")
