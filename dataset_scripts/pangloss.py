"""Pangloss: speech in little documented languages with transcriptions aligned in time, from files a user has fetched.

- An open archive of the LACITO laboratory (CNRS) on the Cocoon platform, which grows: no count can be expected of it.
  Recordings are WAV, most of them at 44.1 kHz and 16 bits; annotations are XML, one file per recording as a rule.
- Documented (Archive.dtd): a TEXT with sentences S, or a WORDLIST with words W, or an ARCHIVE of these; xml:lang is an
  ISO 639-3 code such as nru (Na) or nxq (Naxi). HEADER holds TITLE and SOUNDFILE href. S or W has an id, who (speaks),
  AUDIO start and end in seconds, FORM kindOf (phono unless said, phone, ortho) and TRANSL xml:lang; the W and M inside
  an S are glosses and are left alone. A DOCTYPE is allowed, entities of one's own are not.
- Layout: a folder with recordings and annotations, subfolders as you like. The recording of an annotation is the one
  named by SOUNDFILE, else the one with the annotation's own name. Recordings without annotation are taken, too.
- Speakers, DOI and what recordings have in common stand in the archive's catalogue, not in the annotations. They are
  read from one table (CSV, TSV or JSON lines) at the top of the folder: column `recording` (name of the WAV), and any
  of `language`, `dialect`, `speaker`, `doi`, `session`, `condition`, `room`, `microphone`, `series` (recording, voice
  or segments: of which series of arXiv:2402.05581 it is part), `style`, `content`; other columns are kept.
- Assumed: names of WAV files are unique; a speaker who is named neither there nor by `who` is unknown (names such as
  F4 inside file names are not interpreted); `dialect` is the language's code where the table says nothing else.
- Files data/recordings-* hold whole recordings as they are, files data/sentences-* the same audio cut by annotation
  (16 kHz, FLAC), which column `unit` (recording, sentence) tells too: take one of the two, never both.
"""

import sys
import warnings
import xml.etree.ElementTree as xml
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from xml.parsers import expat

from hf_dialects.data.audio import SAMPLING_RATE, decode, duration_s, encode
from hf_dialects.data.folders import AUDIO_SUFFIXES
from hf_dialects.data.manifest import SUFFIXES, read_rows
from hf_dialects.data.prepare import run_script
from hf_dialects.errors import AudioError, CorpusError

LICENSE = "other, each resource of Pangloss states its own, mostly CC BY-NC-SA"
CITATION = (
    "Michailovsky, B., Mazaudon, M., Michaud, A., Guillaume, S., François, A. and Adamou, E. (2014). Documenting and "
    "Researching Endangered Languages: The Pangloss Collection. Language Documentation and Conservation 8, 119-135. "
    "Cite the DOI of every recording as well."
)
RECORDINGS = None  # it grows, and everybody takes a part
SHARING = "by row: every resource of Pangloss states its own licence; the table's column `license` tells it"

WHOLE, CUT = {"unit": "recording", "split": "recordings"}, {"unit": "sentence", "split": "sentences"}
UNITS = {"TEXT": "S", "WORDLIST": "W"}  # document → what of it is a row
KINDS = ("phono", "phone", "ortho")  # of FORM, the first that is there becomes the text
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
OVERHANG_S = 0.1  # times are set by hand: as much may lie after the end


def rows(source: Path) -> Iterator[dict]:
    """Rows of whole recordings, then of sentences, in the order of their names.

    Args:
        source: folder with WAV and XML, and perhaps a table.

    Raises:
        CorpusError: no recordings or two of one name; a table that names others; XML that is broken or declares
            entities; an annotation without recording; times that are none or lie outside; an unknown language.
    """
    source = Path(source)
    sounds = _sounds(source)
    about = _table(source, sounds)
    documents: dict[str, list[tuple[Path, xml.Element]]] = {name: [] for name in sounds}
    for path in sorted(source.rglob("*.xml")):
        for document in read_annotation(path):
            documents[_recording_of(document, path, sounds, source)].append((path, document))
    shared = {name: _of_recording(name, sounds[name], documents[name], about.get(name, {})) for name in sounds}
    for name, path in sounds.items():
        yield {"id": name, **shared[name], "audio": {"bytes": None, "path": str(path)}, **WHOLE}
    for name, found in documents.items():
        for path, document in found:
            yield from _sentences(document, path, sounds[name], shared[name])


def read_annotation(path: Path) -> list[xml.Element]:
    """TEXT and WORDLIST elements of an XML file; none where it is about something else, which is a warning.

    Nothing outside the file is read, and entities it declares are refused before they are expanded.

    Raises:
        CorpusError: broken XML, or entities.
    """
    data = path.read_bytes()

    def refuse(name: str, *_) -> None:
        raise CorpusError(f"{path} declares an entity, {name!r}; annotations need none: remove the declaration")

    scanner = expat.ParserCreate()
    scanner.EntityDeclHandler = refuse
    try:
        scanner.Parse(data, True)
        root = xml.fromstring(data)
    except (expat.ExpatError, xml.ParseError) as error:
        raise CorpusError(f"{path} is not well-formed XML: {error}; fetch it again or correct that place") from error
    found = [root] if root.tag in UNITS else [one for one in root if root.tag == "ARCHIVE" and one.tag in UNITS]
    if not found:
        warnings.warn(f"{path} is left out: its root is {root.tag}, annotations are TEXT or WORDLIST", stacklevel=3)
    return found


def _sounds(source: Path) -> dict[str, Path]:
    """Recordings by name without suffix, sorted."""
    found: dict[str, Path] = {}
    files = (path for path in source.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    for path in sorted(files, key=lambda path: (path.stem, path)):
        if path.stem in found:
            raise CorpusError(f"{found[path.stem]} and {path} have one name; rename or remove one of them")
        found[path.stem] = path
    if not found:
        raise CorpusError(f"{source} holds no recordings; WAV files are expected, with their annotations in XML")
    return found


def _table(source: Path, sounds: Mapping[str, Path]) -> dict[str, dict]:
    """What the table says of each recording."""
    tables = sorted(path for path in source.glob("*") if path.suffix in SUFFIXES and not path.name.startswith("."))
    if len(tables) > 1:
        raise CorpusError(f"{source} holds {' and '.join(path.name for path in tables)}; keep one of them")
    found: dict[str, dict] = {}
    for number, given in enumerate(read_rows(tables[0]) if tables else (), start=1):
        where = f"{tables[0]}, row {number}"
        if "recording" not in given:
            raise CorpusError(f"{tables[0]} has no column recording; it has {', '.join(given)}")
        name = _stem(given.pop("recording") or "", sounds)
        if name is None or name in found:
            why = "names no recording of the folder" if name is None else f"describes {name} a second time"
            raise CorpusError(f"{where} {why}; the recordings are {_listed(sounds)}")
        found[name] = {key: value for key, value in given.items() if value not in (None, "")}
    if lacking := [name for name in sounds if found and name not in found]:
        warnings.warn(f"{tables[0]} says nothing of {_listed(lacking)}", stacklevel=3)
    return found


def _recording_of(document: xml.Element, path: Path, sounds: Mapping[str, Path], source: Path) -> str:
    """Name of the recording that a document annotates."""
    sound = document.find("HEADER/SOUNDFILE")
    href = sound.get("href") if sound is not None else None
    for name in (href, path.name, document.get("id")):
        if name and (found := _stem(name, sounds)) is not None:
            return found
    named = f"{href}, which its SOUNDFILE names, or {path.stem}.wav" if href else f"{path.stem}.wav"
    raise CorpusError(f"{path} has no recording: {named} is not in {source}; add it, or remove the annotation")


def _of_recording(name: str, path: Path, documents: list[tuple[Path, xml.Element]], about: Mapping) -> dict:
    """Columns that all rows of one recording share; times are those of the whole."""
    try:
        seconds = duration_s(path)
    except AudioError as error:
        raise CorpusError(str(error)) from error
    languages = {document.get(LANGUAGE) for _, document in documents} - {None}
    language = about.get("language") or (languages.pop() if len(languages) == 1 else None)
    if language is None:
        said = f"its annotations say {' and '.join(sorted(languages))}" if languages else "no xml:lang says it"
        raise CorpusError(f"the language of {path} is unknown: {said}; give it in a table, columns recording, language")
    who = {unit.get("who") for _, document in documents for unit in document.findall(UNITS[document.tag])}
    title = next((text for _, one in documents for each in one.findall("HEADER/TITLE") if (text := _text(each))), None)
    own = {"speaker": who.pop() if len(who) == 1 else None, "doi": None, "title": title, "dialect": language}
    times = {"start_s": 0.0, "end_s": seconds}
    return own | dict(about) | {"language": language, "recording": name} | times


def _sentences(document: xml.Element, path: Path, sound: Path, shared: Mapping) -> Iterator[dict]:
    untimed = 0
    for number, unit in enumerate(document.findall(UNITS[document.tag]), start=1):
        name = unit.get("id") or f"{number:04d}"
        audio = unit.find("AUDIO")
        if audio is None:
            untimed += 1
            continue
        start, end = _times(audio, f"{path}, {unit.tag} {name}", shared["end_s"])
        cut = encode(decode(sound, SAMPLING_RATE, start, end), SAMPLING_RATE)
        translations = {
            f"translation_{each.get(LANGUAGE, 'en').replace('-', '_')}": _text(each) for each in unit.findall("TRANSL")
        }
        yield {
            **shared,
            **translations,
            "id": f"{path.stem}/{name}",
            "audio": {"bytes": cut, "path": f"{path.stem}-{number:04d}.flac"},
            "speaker": unit.get("who") or shared["speaker"],
            "text": _form(unit),
            "start_s": start,
            "end_s": end,
            **CUT,
        }
    if untimed:
        warnings.warn(f"{untimed} of {number} sentences of {path} have no AUDIO and are left out", stacklevel=3)


def _times(audio: xml.Element, where: str, seconds: float) -> tuple[float, float]:
    """Start and end in seconds, within the recording."""
    try:
        start, end = float(audio.get("start", "")), float(audio.get("end", ""))
    except ValueError:
        given = f"start {audio.get('start')!r}, end {audio.get('end')!r}"
        raise CorpusError(f"{where}: AUDIO has {given}; both must be seconds") from None
    if not 0 <= start < end <= seconds + OVERHANG_S or start >= seconds:
        raise CorpusError(
            f"{where}: {start:g} to {end:g} s lies outside of its recording, which lasts {seconds:.3f} s; correct the "
            "times, or check that annotation and recording belong together"
        )
    return start, min(end, seconds)


def _form(unit: xml.Element) -> str | None:
    """The transcription: phonemic if there is one."""
    forms = {form.get("kindOf", "phono"): _text(form) for form in reversed(unit.findall("FORM"))}
    return next((forms[kind] for kind in (*KINDS, *forms) if forms.get(kind)), None)


def _text(element: xml.Element) -> str | None:
    return " ".join("".join(element.itertext()).split()) or None


def _stem(name: str, sounds: Mapping[str, Path]) -> str | None:
    """The recording of that file name or address, whatever folder and suffix stand with it."""
    last = PureWindowsPath(name.strip()).name  # takes slashes of both kinds
    return next((one for one in (last, PureWindowsPath(last).stem) if one in sounds), None)


def _listed(names) -> str:
    names = list(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def main() -> None:
    """Write the corpus in the schema."""
    run_script(sys.modules[__name__])


if __name__ == "__main__":
    main()
