from dataclasses import replace

import pytest
from sharable import FACTS

from hf_dialects.hub.dataset_facts import BY_ROW
from hf_dialects.hub.dataset_licence import may_be_shared, shared_rows


@pytest.mark.parametrize(
    "licence",
    [
        "CC0",
        "CC0 1.0",
        "cc0-1.0",
        "CC BY 4.0",
        "cc-by-nc-sa-3.0",
        "CC_BY-SA 2.5 FR",
        "Creative Commons BY-NC 4.0",
        "http://creativecommons.org/licenses/by-nc-sa/2.5/",
        "https://creativecommons.org/publicdomain/zero/1.0/",
        "public domain",
        "Apache-2.0",
        "MIT",
    ],
)
def test_open_licences(licence):
    assert may_be_shared(licence)


@pytest.mark.parametrize(
    "licence",
    [
        "CC BY-ND 4.0",
        "cc-by-nc-nd-4.0",
        "https://creativecommons.org/licenses/by-nc-nd/4.0/",
        "all rights reserved",
        "Freely available for non-commercial use",
        "CC BY and written consent",
        "mitigated",
        "",
    ],
)
def test_licences_that_forbid_it_or_are_not_known(licence):
    assert not may_be_shared(licence)


def test_recordings_without_a_licence_have_that_of_the_corpus_unless_rows_decide():
    licences = ["CC BY 4.0", None, "CC BY-ND 4.0"]
    kept, refused = shared_rows(licences, 3, FACTS)
    assert (kept.tolist(), dict(refused)) == ([True, True, False], {"CC BY-ND 4.0": 1})
    by_row = replace(FACTS, sharing=BY_ROW)
    kept, refused = shared_rows(licences, 3, by_row)
    assert (kept.tolist(), dict(refused)) == ([True, False, False], {"none given": 1, "CC BY-ND 4.0": 1})
    assert [shared_rows(None, 2, facts)[0].tolist() for facts in (FACTS, by_row)] == [[True] * 2, [False] * 2]
