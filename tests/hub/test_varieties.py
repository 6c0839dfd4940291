"""The registry covers the corpora that are known, and does not guess."""

import re

from hf_dialects.dataset_scripts import fleurs, lre17, vivaldi, yubao

from hf_dialects.data.synthetic import VARIETIES
from hf_dialects.hub.varieties import languages_of, registry, varieties_of

GLOTTOCODE = re.compile(r"[a-z0-9]{4}\d{4}")
BCP47 = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|\d{3}))?(-[a-z]{5,8})?(-x-[a-z]+)?")


def test_codes_are_well_formed_and_labels_stand_once():
    rows = registry()
    assert len({(one.corpus, one.label) for one in rows}) == len(rows)
    for one in rows:
        assert one.name, one
        assert not one.bcp47 or BCP47.fullmatch(one.bcp47), one
        assert not one.glottocode or GLOTTOCODE.fullmatch(one.glottocode), one


def test_every_label_of_the_corpora_is_there():
    corpora = {
        "embedded": VARIETIES,
        "fleurs": fleurs.AREA_OF,
        "lre17": lre17.CLUSTER_OF,
        "vivaldi": vivaldi.ACRONYMS,
        "yubao": yubao.SITES,
    }
    for corpus, labels in corpora.items():
        assert {one.label for one in registry() if one.corpus == corpus} == set(labels), corpus


def test_a_corpus_is_believed_only_where_it_knows_most_labels():
    sinitic = varieties_of(["gan", "hak", "min"])
    assert {label: one.bcp47 for label, one in sinitic.items()} == {"gan": "gan", "hak": "hak", "min": ""}
    assert varieties_of(["min", "jav", "sun"]) == {}, "Minangkabau, not Min"
    assert varieties_of([]) == {}
    assert languages_of(["pt", "pt-br", "vi-south", "my dialect"]) == ["pt", "vi"]
