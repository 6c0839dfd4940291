"""VIVALDI: sentences in the regional languages of Italy, from recordings that a user has collected.

- Some 98,000 recordings, mean 1.66 s, of about 343 sentences per city, from 19 of the 20 regions (none from Marche).
  There is no archive: the site plays them one by one. This script reads what has been collected, in one of two layouts.
- A folder with one table (CSV, TSV or JSON lines; its name does not matter) with the columns `region`, `city` and
  `file` (relative to the folder), and where known `speaker`, `sentence`, `latitude`, `longitude` and `id`; other
  columns are kept.
- Or a folder tree `{region}/{city}/{sentence}.wav`, or `{region}/{city}/{speaker}/{sentence}.wav`.
- Regions are named in Italian or English, or by acronym; `dialect` is the Italian name, `site` the city.
- A city is one speaker, but for Aidone in Sicily with two: they are told apart only where table or tree does so.
- Nothing is split: regions with fewer than three cities cannot be (`place_split` leaves them out).
- Cities per region: Abruzzo 10, Basilicata 14, Calabria 4, Campania 1, Emilia-Romagna 3, Friuli-Venezia Giulia 28,
  Lazio 1, Liguria 14, Lombardia 25, Molise 17, Piemonte 24, Puglia 10, Sardegna 19, Sicilia 16, Toscana 10,
  Trentino-Alto Adige 32, Umbria 14, Valle d'Aosta 10, Veneto 35: 285 in the 17 regions with three or more.
"""

import sys
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hf_dialects.dataset_scripts import table

from hf_dialects.data.audio import duration_s
from hf_dialects.data.folders import AUDIO_SUFFIXES
from hf_dialects.data.manifest import SUFFIXES, read_rows
from hf_dialects.data.prepare import run_script
from hf_dialects.errors import AudioError, CorpusError

LICENSE = "other, see the terms of the VIVALDI project"
CITATION = (
    "Tosques, F. and Castellarin, M. (2013). Das Vivaio Acustico delle Lingue e dei Dialetti d'Italia (VIVALDI). "
    "Facts: La Quatra, M., Koudounas, A., Baralis, E. and Siniscalchi, S. M. (2024). Speech Analysis of Language "
    "Varieties in Italy. LREC-COLING 2024."
)
RECORDINGS = 81_279 + 8_242 + 8_241  # of the 17 regions with three or more cities
SHARING = "refused: the project lets its recordings be heard on its site and states no licence to pass them on"
MEAN_S = 1.66
TWO_SPEAKERS = ("Sicilia", "aidone")
PUBLISHED = {  # cities by the acronym of their region
    "abr": 10, "bas": 14, "cal": 4, "cam": 1, "eml": 3, "fvg": 28, "laz": 1, "lig": 14, "lom": 25, "mar": 0,
    "mol": 17, "pie": 24, "pug": 10, "sar": 19, "sic": 16, "tos": 10, "tre": 32, "umb": 14, "vda": 10, "ven": 35,
}  # fmt: skip
CITIES = {  # acronym: Italian name, other names, published cities
    row["acronym"]: (row["region"], tuple(filter(None, row["other_names"].split("|"))), PUBLISHED[row["acronym"]])
    for row in table("vivaldi_regions")
}
ACRONYMS = {name: acronym for acronym, (name, _, _) in CITIES.items()}
ITALY = {"latitude": (35.0, 47.5), "longitude": (6.0, 19.0)}
MEASURED = 2000  # recordings whose length is looked up for the mean
COLUMNS = ("region", "city", "speaker", "sentence", "file", "latitude", "longitude", "id")


def _plain(name: str) -> str:
    """Letters and digits alone, without accents and case."""
    return "".join(one for one in unicodedata.normalize("NFKD", name).casefold() if one.isalnum())


REGIONS = {
    _plain(name): italian for acronym, (italian, others, _) in CITIES.items() for name in (acronym, italian, *others)
}


def region_name(name: str) -> str:
    """Italian name of a region given in Italian or English or by its acronym; accents, case and hyphens do not matter.

    Raises:
        CorpusError: there is no such region.
    """
    found = REGIONS.get(_plain(name))
    if found is None:
        known = ", ".join(f"{italian} ({acronym})" for acronym, (italian, _, _) in CITIES.items())
        raise CorpusError(f"{name!r} is no region of Italy; the regions are {known}")
    return found


def rows(source: Path) -> Iterator[dict]:
    """Rows of what has been collected, sorted by id. Differences from the published facts are warnings.

    Args:
        source: folder with one table at its top, or with the tree.

    Raises:
        CorpusError: neither layout, an unknown region, a city in two regions, a file that does not exist or lies
            elsewhere, or coordinates that are none.
    """
    source = Path(source)
    tables = sorted(path for path in source.glob("*") if path.suffix in SUFFIXES and not path.name.startswith("."))
    if len(tables) > 1:
        raise CorpusError(f"{source} holds {' and '.join(path.name for path in tables)}; keep one of them")
    found = _table(tables[0], source) if tables else _tree(source)
    found = sorted(_unified(found), key=lambda row: row["id"])
    for difference in differences(found):
        warnings.warn(difference, stacklevel=2)
    yield from found


def differences(found: Sequence[Mapping]) -> list[str]:
    """What of these rows differs from the published facts, one sentence each with both numbers."""
    cities: dict[str, set] = {name: set() for name in ACRONYMS}
    speakers: dict[tuple, set] = {}
    for row in found:
        cities[row["dialect"]].add(row["site"])
        speakers.setdefault((row["dialect"], row["site"]), set()).add(row["speaker"])
    told = [
        f"{name} has {len(cities[name])} cities here, {published} published"
        for name, _, published in CITIES.values()
        if len(cities[name]) != published
    ]
    kept = sum(len(cities[name]) for name, _, count in CITIES.values() if count >= 3)
    published = sum(count for _, _, count in CITIES.values() if count >= 3)
    if kept != published:
        told.append(f"the 17 regions with three or more cities have {kept} here, {published} published")
    for (region, city), names in sorted(speakers.items()):
        two = (region, city.casefold()) == TWO_SPEAKERS
        if len(names) != 1 + two:
            note = "; without a speaker in the table both count as one" if two and len(names) == 1 else ""
            told.append(f"{city} ({region}) has {len(names)} speakers here, {1 + two} published{note}")
    outside = sorted(
        {
            row["site"]
            for row in found
            for name, (low, high) in ITALY.items()
            if row.get(name) is not None and not low <= row[name] <= high
        }
    )
    if outside:
        told.append(f"{len(outside)} cities have coordinates outside Italy: {', '.join(outside[:5])}")
    mean = _mean_s(found)
    if mean is not None and abs(mean - MEAN_S) > 0.1 * MEAN_S:
        told.append(f"recordings last {mean:.2f} s on average here, {MEAN_S} s published")
    return told


def _table(path: Path, source: Path) -> Iterator[dict]:
    """Rows of a table, whose columns beyond those known are kept."""
    table = read_rows(path)
    missing = [name for name in ("region", "city", "file") if name not in table[0]]
    if missing:
        raise CorpusError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(table[0])}. Known are {', '.join(COLUMNS)}"
        )
    for number, given in enumerate(table, start=1):
        where = f"{path}, row {number}"
        empty = [name for name in ("region", "city", "file") if not given[name]]
        if empty:
            raise CorpusError(f"{where}: {empty[0]} is empty; fill it in, or remove the row")
        row = {name: value for name, value in given.items() if name not in COLUMNS}
        row |= _row(source, given["file"], given["region"], given["city"], given.get("speaker"), where)
        row["sentence_id"] = _text(given.get("sentence"))
        row["id"] = _text(given.get("id")) or row["id"]
        coordinates = [_coordinate(name, given.get(name), where) for name in ITALY]
        if (coordinates[0] is None) != (coordinates[1] is None):
            raise CorpusError(
                f"{where}: latitude and longitude go together, found {coordinates[0]} and {coordinates[1]}"
            )
        if "latitude" in given:
            row |= dict(zip(ITALY, coordinates, strict=True))
        yield row


def _tree(source: Path) -> Iterator[dict]:
    """Rows of a folder tree."""
    files = [path for path in sorted(source.rglob("*")) if path.suffix.lower() in AUDIO_SUFFIXES]
    files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(source).parts)]
    expected = "a table with the columns region, city and file, or {region}/{city}/{sentence}.wav"
    if not files:
        raise CorpusError(f"{source} holds no recordings; expected is {expected}")
    for path in files:
        region, *places = path.relative_to(source).parts[:-1] or (None,)
        if region is None or len(places) not in (1, 2):
            raise CorpusError(
                f"{path} is not where a recording is expected: {expected}, with a folder {{speaker}} where known"
            )
        speaker = places[1] if len(places) == 2 else None
        file = path.relative_to(source).as_posix()
        yield _row(source, file, region, places[0], speaker, str(path)) | {"sentence_id": path.stem}


def _row(source: Path, file: str, region: str, city: str, speaker, where: str) -> dict:
    path = (source / str(file)).resolve()
    if not path.is_relative_to(source.resolve()):
        raise CorpusError(f"{where}: {file!r} lies outside {source}; move it there")
    if not path.is_file():
        raise CorpusError(f"{where}: {path} does not exist; remove the row, or add the recording")
    try:
        name = region_name(str(region))
    except CorpusError as error:
        raise CorpusError(f"{where}: {error}") from error
    city = " ".join(unicodedata.normalize("NFC", str(city)).split())
    return {
        "id": path.relative_to(source.resolve()).with_suffix("").as_posix(),
        "audio": {"bytes": None, "path": str(path)},
        "dialect": name,
        "speaker": _text(speaker),
        "site": city,
    }


def _unified(found: Iterator[dict]) -> Iterator[dict]:
    """One spelling of every city, and speakers that are named by their city."""
    spelling, region_of, where = {}, {}, {}
    for row in found:
        key = row["site"].casefold()
        city = spelling.setdefault(key, row["site"])
        if region_of.setdefault(key, row["dialect"]) != row["dialect"]:
            raise CorpusError(
                f"{city} lies in {region_of[key]} ({where[key]}) and in {row['dialect']} ({row['audio']['path']}); "
                "correct one of them, or give two cities of that name names of their own"
            )
        where.setdefault(key, row["audio"]["path"])
        speaker = f"{ACRONYMS[row['dialect']]}-{city}" + (f"-{row['speaker']}" if row["speaker"] else "")
        yield row | {"site": city, "speaker": speaker}


def _text(value) -> str | None:
    return None if value is None or value == "" else str(value).strip()


def _coordinate(name: str, value, where: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{where}: {name} is {value!r}, degrees are expected") from error
    if not abs(number) <= (90 if name == "latitude" else 180):
        raise CorpusError(f"{where}: {name} is {value!r}, which no place on Earth has")
    return number


def _mean_s(found: Sequence[Mapping]) -> float | None:
    """Mean length in seconds of recordings taken evenly from all; None where none can be read."""
    lengths = []
    for row in found[:: max(1, -(-len(found) // MEASURED))]:
        try:
            lengths.append(duration_s(row["audio"]))
        except AudioError:
            continue
    return sum(lengths) / len(lengths) if lengths else None


def main() -> None:
    """Write the corpus in the schema."""
    run_script(sys.modules[__name__])


if __name__ == "__main__":
    main()
