"""Annotations in the format of the Pangloss Collection beside recordings, in generated folders."""

import numpy as np
import pytest
import soundfile
from hf_dialects.dataset_scripts import pangloss

from hf_dialects.data.audio import decode
from hf_dialects.data.load import load_corpus
from hf_dialects.data.prepare import prepare_corpus
from hf_dialects.errors import CorpusError

TALE = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE TEXT SYSTEM "https://example.invalid/Archive.dtd">
<TEXT id="crdo-NRU_TALE" xml:lang="nru">
<HEADER><TITLE xml:lang="en">The tale</TITLE><SOUNDFILE href="http://example.invalid/wav/crdo-NRU_TALE_AUDIO.wav"/>
</HEADER>
<NOTE xml:lang="fr" message="relu"/>
<S id="S001" who="F4"><AUDIO start="0.0000" end="0.5"/>
  <FORM kindOf="ortho">eyi</FORM><FORM>ə˧ʝi˧-ʂɯ˥ʝi˩, ◊
    ə˩-gi˩! |</FORM>
  <TRANSL xml:lang="fr">Autrefois</TRANSL><TRANSL xml:lang="zh">从前</TRANSL>
  <W><FORM>ə˧ʝi˧</FORM><TRANSL xml:lang="fr">autrefois</TRANSL></W></S>
<S id="S002" who="F4"><AUDIO start="0.4990" end="2.05"/><FORM kindOf="phone">tʰi</FORM><TRANSL>then</TRANSL></S>
<S id="S003" who="F4"><FORM>untimed</FORM></S>
</TEXT>"""
WORDS = """<WORDLIST id="words" xml:lang="nxq"><W><AUDIO start="0.1" end="0.4"/><FORM>a</FORM></W></WORDLIST>"""


def sound(path, seconds=2.0, rate=22050):
    """A rising tone, so that a cut shows where it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate
    soundfile.write(path, 0.1 + 0.2 * time / seconds * np.sin(2 * np.pi * 200 * time), rate, subtype="PCM_16")
    return path


@pytest.fixture
def folder(tmp_path):
    sound(tmp_path / "wav" / "crdo-NRU_TALE_AUDIO.wav")
    sound(tmp_path / "wav" / "words.wav", 1.0)
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml" / "crdo-NRU_TALE.xml").write_text(TALE, encoding="utf-8")
    (tmp_path / "xml" / "words.xml").write_text(WORDS, encoding="utf-8")
    (tmp_path / "about.csv").write_text(
        "recording,speaker,doi,condition,microphone\n"
        "crdo-NRU_TALE_AUDIO.wav,,10.24397/pangloss-0000001,studio,headset\nwords,M1,,,\n"
    )
    return tmp_path


@pytest.mark.filterwarnings("ignore:1 of 3 sentences")
def test_rows_of_recordings_and_sentences(folder):
    rows = list(pangloss.rows(folder))
    assert [(row["split"], row["id"]) for row in rows] == [
        ("recordings", "crdo-NRU_TALE_AUDIO"),
        ("recordings", "words"),
        ("sentences", "crdo-NRU_TALE/S001"),
        ("sentences", "crdo-NRU_TALE/S002"),
        ("sentences", "words/0001"),
    ]
    whole, words, first, second, word = rows
    shared = {
        "recording": "crdo-NRU_TALE_AUDIO",
        "dialect": "nru",
        "language": "nru",
        "speaker": "F4",
        "doi": "10.24397/pangloss-0000001",
        "title": "The tale",
        "condition": "studio",
        "microphone": "headset",
    }
    assert whole == {
        "id": "crdo-NRU_TALE_AUDIO",
        **shared,
        "audio": {"bytes": None, "path": str(folder / "wav" / "crdo-NRU_TALE_AUDIO.wav")},
        "start_s": 0.0,
        "end_s": 2.0,
        "unit": "recording",
        "split": "recordings",
    }
    assert {name: first[name] for name in shared} == shared
    assert first["text"] == "ə˧ʝi˧-ʂɯ˥ʝi˩, ◊ ə˩-gi˩! |", "phonemic by default, one line, no glosses"
    assert (first["translation_fr"], first["translation_zh"]) == ("Autrefois", "从前")
    assert (second["text"], second["translation_en"]) == ("tʰi", "then")
    assert (second["start_s"], second["end_s"]) == (0.499, 2.0), "the end is that of the recording"
    assert (words["speaker"], word["speaker"], word["dialect"], word["text"]) == ("M1", "M1", "nxq", "a")
    assert "condition" not in word


@pytest.mark.filterwarnings("ignore:1 of 3 sentences")
def test_a_sentence_is_the_cut_of_its_recording(folder):
    rows = {row["id"]: row for row in pangloss.rows(folder)}
    whole = decode(rows["crdo-NRU_TALE_AUDIO"]["audio"])
    cut = decode(rows["crdo-NRU_TALE/S002"]["audio"])
    assert len(cut) == 32000 - round(0.499 * 16000)
    assert np.abs(cut - whole[round(0.499 * 16000) :]).max() <= 1 / 32768


def test_untimed_sentences_and_other_files_are_told(folder):
    sound(folder / "new.wav")
    with (
        pytest.warns(UserWarning, match="says nothing of new"),
        pytest.raises(CorpusError, match=r"the language of .*new\.wav is unknown: no xml:lang says it"),
    ):
        list(pangloss.rows(folder))
    (folder / "catalogue.xml").write_text("<catalog><item/></catalog>")
    text = (folder / "about.csv").read_text().replace("recording,", "recording,language,").replace("wav,", "wav,nru,")
    (folder / "about.csv").write_text(text.replace("words,", "words,nxq,") + "new.wav,nxq,M2,,,\n")
    with (
        pytest.warns(UserWarning, match=r"catalogue\.xml is left out: its root is catalog"),
        pytest.warns(UserWarning, match=r"1 of 3 sentences of .*TALE\.xml have no AUDIO"),
    ):
        rows = list(pangloss.rows(folder))
    assert [row["dialect"] for row in rows if row["id"] == "new"] == ["nxq"], "no annotation is needed"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</S>\n<S id=", "\n<S id=", r"TALE\.xml is not well-formed XML: mismatched tag"),
        ('"https://example.invalid/Archive.dtd"', '"x" [<!ENTITY a "aaa">]', r"TALE\.xml declares an entity, 'a'"),
        (
            'SYSTEM "https://example.invalid/Archive.dtd"',
            '[<!ENTITY a SYSTEM "file:///etc/hostname">]',
            "declares an entity, 'a'",
        ),
        ("Autrefois", "&eacute;", r"TALE\.xml is not well-formed XML: undefined entity"),
        ('end="2.05"', 'end="2.2"', r"S S002: 0\.499 to 2\.2 s lies outside of its recording, which lasts 2\.000 s"),
        ('end="0.5"', 'end="0"', r"S S001: 0 to 0 s lies outside"),
        ('start="0.4990"', 'start="-1"', r"S S002: -1 to 2\.05 s lies outside"),
        ('start="0.4990"', 'start="0,499"', r"S S002: AUDIO has start '0,499', end '2\.05'; both must be seconds"),
        ("TALE_AUDIO.wav", "LOST.wav", r"TALE\.xml has no recording: .*LOST\.wav, which its SOUNDFILE names, or crdo-"),
    ],
)
@pytest.mark.filterwarnings("ignore:1 of 3 sentences")
def test_bad_annotations_name_the_place(folder, old, new, message):
    path = folder / "xml" / "crdo-NRU_TALE.xml"
    assert old in TALE
    path.write_text(TALE.replace(old, new), encoding="utf-8")
    with pytest.raises(CorpusError, match=message):
        list(pangloss.rows(folder))


@pytest.mark.filterwarnings("ignore:1 of 3 sentences")
def test_an_archive_holds_several_documents(folder):
    texts = [TALE[TALE.index("<TEXT") :], WORDS.replace('id="words"', 'id="words.wav"')]
    (folder / "xml" / "all.xml").write_text(f"<ARCHIVE>{''.join(texts)}</ARCHIVE>", encoding="utf-8")
    for name in ("crdo-NRU_TALE", "words"):
        (folder / "xml" / f"{name}.xml").unlink()
    rows = [row for row in pangloss.rows(folder) if row["split"] == "sentences"]
    assert [(row["id"], row["recording"]) for row in rows] == [
        ("all/S001", "crdo-NRU_TALE_AUDIO"),
        ("all/S002", "crdo-NRU_TALE_AUDIO"),
        ("all/0001", "words"),
    ]


def test_bad_folders_and_tables(folder):
    table = folder / "about.csv"
    table.write_text("recording,speaker\nlost,F1\n")
    with pytest.raises(CorpusError, match=r"about\.csv, row 1 names no recording of the folder; the recordings are cr"):
        list(pangloss.rows(folder))
    table.write_text("recording,speaker\nwords,F1\nwords.wav,F1\n")
    with pytest.raises(CorpusError, match="row 2 describes words a second time"):
        list(pangloss.rows(folder))
    table.write_text("file,speaker\nwords,F1\n")
    with pytest.raises(CorpusError, match="has no column recording; it has file, speaker"):
        list(pangloss.rows(folder))
    table.unlink()
    sound(folder / "words.flac")
    with pytest.raises(CorpusError, match=r"words\.wav and .*words\.flac have one name"):
        list(pangloss.rows(folder))
    with pytest.raises(CorpusError, match="holds no recordings"):
        list(pangloss.rows(folder / "xml"))


@pytest.mark.filterwarnings("ignore:1 of 3 sentences")
def test_a_prepared_corpus_loads(folder, tmp_path):
    out = tmp_path / "out"
    prepare_corpus(pangloss, folder, out, progress=False, report=lambda text: None)
    files = (out / "data" / f"{name}-00000-of-00001.parquet" for name in ("recordings", "sentences"))
    recordings, sentences = (load_corpus(str(file)) for file in files)
    assert recordings["recording"][:] == recordings["id"][:] == ["crdo-NRU_TALE_AUDIO", "words"]
    assert recordings["duration"][:] == pytest.approx([2.0, 1.0])
    assert sentences["duration"][:] == pytest.approx([0.5, 1.501, 0.3], abs=1e-3)
    assert sentences.features["dialect"].names == ["nru", "nxq"]
    assert set(recordings["unit"][:]) == {"recording"}
    assert set(sentences["unit"][:]) == {"sentence"}
