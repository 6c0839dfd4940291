import csv
import json

import corpora
import pytest
from hf_dialects.dataset_scripts import vivaldi

from hf_dialects.data.load import load_corpus
from hf_dialects.data.prepare import prepare_corpus
from hf_dialects.errors import CorpusError

pytestmark = pytest.mark.filterwarnings("ignore:.*published:UserWarning")
TABLE = [
    {"region": "sic", "city": "Aidone", "speaker": "1", "sentence": "s1", "file": "a/1.wav", "latitude": "37.41"},
    {"region": "Sicily", "city": "aidone", "speaker": "2", "sentence": "s1", "file": "a/2.wav", "latitude": "37.41"},
    {"region": "Valle d’Aosta", "city": "Aosta", "speaker": "", "sentence": "s2", "file": "b/3.wav", "latitude": ""},
]


def collected(folder, table=TABLE, suffix=".csv"):
    """Recordings and the table that lists them."""
    rows = [
        {**row, "longitude": "14.44" if row.get("latitude") else "", "take": number} for number, row in enumerate(table)
    ]
    for row in rows:
        corpora.tone(folder / row["file"], seconds=0.2)
    if suffix == ".jsonl":
        (folder / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        with (folder / f"list{suffix}").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tree with the published cities, one recording of the published mean length each."""
    folder = tmp_path_factory.mktemp("vivaldi")
    for name, _, count in vivaldi.CITIES.values():
        for number in range(count):
            if (name, number) == ("Sicilia", 0):
                for speaker in ("1", "2"):
                    corpora.tone(folder / name / "Aidone" / speaker / "s1.wav", seconds=1.66)
            else:
                corpora.tone(folder / name / f"{name} {number}" / "s1.wav", seconds=1.66)
    return folder


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_a_row_of_a_table(tmp_path, suffix):
    rows = list(vivaldi.rows(collected(tmp_path, suffix=suffix)))
    assert rows[1] == {
        "take": 1 if suffix == ".jsonl" else "1",
        "id": "a/2",
        "audio": {"bytes": None, "path": str(tmp_path / "a" / "2.wav")},
        "dialect": "Sicilia",
        "speaker": "sic-Aidone-2",
        "site": "Aidone",
        "sentence_id": "s1",
        "latitude": 37.41,
        "longitude": 14.44,
    }
    assert [row["speaker"] for row in rows] == ["sic-Aidone-1", "sic-Aidone-2", "vda-Aosta"]
    assert rows[2]["latitude"] is None


def test_the_published_corpus_has_no_differences(whole, recwarn):
    rows = list(vivaldi.rows(whole))
    assert [str(one.message) for one in recwarn] == []
    assert len({row["site"] for row in rows}) == 285 + 2
    assert len({row["dialect"] for row in rows}) == 19
    assert [row["speaker"] for row in rows if row["site"] == "Aidone"] == ["sic-Aidone-1", "sic-Aidone-2"]
    assert {row["sentence_id"] for row in rows} == {"s1"}
    assert all("latitude" not in row for row in rows)
    assert rows == sorted(rows, key=lambda row: row["id"]) == list(vivaldi.rows(whole))


def test_the_published_counts_add_up():
    counts = [count for _, _, count in vivaldi.CITIES.values()]
    assert len(counts) == 20
    assert sum(count > 0 for count in counts) == 19
    assert [sum(count >= 3 for count in counts), sum(count for count in counts if count >= 3)] == [17, 285]
    assert vivaldi.RECORDINGS == 97_762
    for _, (name, _, count) in vivaldi.CITIES.items():
        said = f"{name} {count}" in " ".join(vivaldi.__doc__.split())
        assert said == (count > 0), name


def test_differences_are_told_with_both_numbers(whole, tmp_path):
    rows = list(vivaldi.rows(whole))
    rows = [row for row in rows if row["site"] != "Molise 3"] + [rows[0] | {"dialect": "Marche", "site": "Urbino"}]
    aidone = [row | {"speaker": "sic-Aidone"} if row["site"] == "Aidone" else row for row in rows]
    found = vivaldi.differences(aidone)
    assert found == [
        "Marche has 1 cities here, 0 published",
        "Molise has 16 cities here, 17 published",
        "the 17 regions with three or more cities have 284 here, 285 published",
        "Aidone (Sicilia) has 1 speakers here, 2 published; without a speaker in the table both count as one",
    ]
    second = [rows[0] | {"speaker": "another"}]
    assert "Abruzzo 0 (Abruzzo) has 2 speakers here, 1 published" in vivaldi.differences(rows + second)
    away = [rows[0] | {"latitude": 52.5, "longitude": 13.4}]
    assert "1 cities have coordinates outside Italy: Abruzzo 0" in vivaldi.differences(rows + away)
    with pytest.warns(UserWarning, match=r"recordings last 0\.20 s on average here, 1\.66 s published"):
        list(vivaldi.rows(collected(tmp_path)))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Sardegna", "Sardegna"),
        ("SARDINIA", "Sardegna"),
        ("sar", "Sardegna"),
        ("friuli venezia giulia", "Friuli-Venezia Giulia"),
        ("Valle d’Aosta", "Valle d'Aosta"),
        ("Aosta Valley", "Valle d'Aosta"),
        ("Trentino-Alto Adige/Südtirol", "Trentino-Alto Adige"),
        ("Emilia Romagna", "Emilia-Romagna"),
        ("Apulia", "Puglia"),
        ("piedmont", "Piemonte"),
    ],
)
def test_names_of_regions(given, expected):
    assert vivaldi.region_name(given) == expected


def test_every_name_of_a_region_is_its_own():
    names = [name for acronym, (italian, others, _) in vivaldi.CITIES.items() for name in (acronym, italian, *others)]
    assert len(vivaldi.REGIONS) == len(names)


def test_it_is_prepared_and_loaded(tmp_path):
    told = []
    prepare_corpus(vivaldi, collected(tmp_path / "in"), tmp_path / "out", progress=False, report=told.append)
    assert "holds 3 recordings; the published corpus holds 97,762" in told[0]
    corpus = load_corpus(tmp_path / "out")
    assert corpus.features["dialect"].names == ["Sicilia", "Valle d'Aosta"]
    assert sorted(corpus["site"]) == ["Aidone", "Aidone", "Aosta"]
    assert list(corpus["latitude"])[2] is None


def test_what_cannot_be_is_an_error(tmp_path):
    def failing(match, **changes):
        for path in tmp_path.glob("*.csv"):
            path.unlink()
        source = collected(tmp_path, [TABLE[0], TABLE[2] | changes])
        with pytest.raises(CorpusError, match=match):
            list(vivaldi.rows(source))

    failing(r"list\.csv, row 2: 'Corsica' is no region of Italy; the regions are Abruzzo \(abr\)", region="Corsica")
    failing(r"Aidone lies in Sicilia \(.*1\.wav\) and in Puglia \(.*3\.wav\)", region="pug", city="AIDONE")
    failing(r"row 2: city is empty; fill it in", city="")
    failing(r"row 2: latitude is '95', which no place on Earth has", latitude="95")
    failing(r"row 2: latitude is 'north', degrees are expected", latitude="north")
    failing(r"row 2: '\.\./3\.wav' lies outside .*move it there", file="../3.wav")


def test_recordings_that_are_missing_or_misplaced_are_named(tmp_path):
    source = collected(tmp_path / "table")
    (source / "a" / "2.wav").unlink()
    with pytest.raises(CorpusError, match=r"row 2: .*2\.wav does not exist; remove the row, or add the recording"):
        list(vivaldi.rows(source))
    (source / "second.csv").write_text("region\n")
    with pytest.raises(CorpusError, match=r"holds list\.csv and second\.csv; keep one of them"):
        list(vivaldi.rows(source))
    (source / "list.csv").unlink()
    (source / "second.csv").write_text("region,place\nsic,Aidone\n")
    with pytest.raises(CorpusError, match=r"has no column city, file; it has region, place\. Known are region, city"):
        list(vivaldi.rows(source))
    with pytest.raises(CorpusError, match=r"holds no recordings; expected is a table with the columns region, city"):
        list(vivaldi.rows(tmp_path / "empty"))
    corpora.tone(tmp_path / "tree" / "Sicilia" / "stray.wav")
    with pytest.raises(CorpusError, match=r"stray\.wav is not where a recording is expected"):
        list(vivaldi.rows(tmp_path / "tree"))
