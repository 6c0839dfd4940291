"""A shared corpus is read back from the Hub as it was, but for who speaks; nothing else went up."""

import io
import json
import re
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from datasets import ClassLabel, Dataset, Features
from huggingface_hub import DatasetCard, DatasetCardData, constants
from loopback_hub import WRITER, consume
from sharable import PEOPLE, TAKES, prepared, script, share, tables

from hf_dialects.data.leakage import leakage
from hf_dialects.data.load import load_corpus
from hf_dialects.data.splits import split_fingerprint
from hf_dialects.errors import CorpusError, DialectError
from hf_dialects.hub import facts_of

REPO = "me/villages"
READ_BACK = """
import contextlib, io, json, re, sys
from hashlib import sha256
from datasets import get_dataset_config_names, load_dataset
from huggingface_hub import hf_hub_download

repo, without_package = sys.argv[1], {}

def told(splits):
    features = next(iter(splits.values())).features
    rows = {
        name: [{**row, "audio": [row["audio"]["path"], sha256(row["audio"]["bytes"]).hexdigest()]} for row in split]
        for name, split in splits.items()
    }
    return {"rows": rows, "names": features["dialect"].names, "features": repr(features)}

named = load_dataset(repo, "default", split="test")
assert get_dataset_config_names(repo) == ["default"]
assert named["id"] == load_dataset(repo, split="test")["id"]
answers = {"datasets": told(load_dataset(repo)), "streamed": told(load_dataset(repo, streaming=True))}
printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    card = open(hf_hub_download(repo, "README.md", repo_type="dataset"), encoding="utf-8").read()
    exec(re.search(r"```python\\n(.*?)```", card, re.DOTALL)[1])
assert not [name for name in sys.modules if name.startswith("hf_dialects")]
from hf_dialects.data.load import load_corpus
answers |= {"corpus": told(load_corpus(repo)), "streamed corpus": told(load_corpus(repo, streaming=True))}
json.dump({"ways": answers, "printed": printed.getvalue()}, open("answers.json", "w"))
"""
PERSONAL = ["speaker", "recording", "session", "id", "family_name", "file"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("villages"))


@pytest.fixture(scope="module")
def hub(lasting_hub):
    return lasting_hub


@pytest.fixture(scope="module")
def pushed(hub, corpus):
    return share(corpus, hub)


@pytest.fixture(scope="module")
def source(corpus):
    """Rows that may be shared, as they lie here: split → rows."""
    found = {name: list(split) for name, split in load_corpus(corpus).items()}
    return {name: [row for row in rows if row["license"] == "CC BY 4.0"] for name, rows in found.items()}


@pytest.fixture(scope="module")
def read_back(hub, pushed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    consume(hub, folder, READ_BACK, REPO, HF_DATASETS_OFFLINE="0", PYTHONPATH=str(Path(__file__).parents[2]))
    return json.loads((folder / "answers.json").read_text())


@pytest.mark.parametrize("way", ["datasets", "streamed", "corpus", "streamed corpus"])
def test_rows_audio_and_features_come_back(read_back, source, corpus, way):
    found = read_back["ways"][way]
    assert found["names"] == load_corpus(corpus)["train"].features["dialect"].names == ["north", "south"]
    assert {name: len(rows) for name, rows in found["rows"].items()} == {"train": 11, "validation": 6, "test": 6}
    for split, rows in source.items():
        for row, other in zip(rows, found["rows"][split], strict=True):
            assert other["audio"] == [f"{other['id']}.wav", sha256(row["audio"]["bytes"]).hexdigest()]
            for name in set(row) - {"audio", "latitude", "longitude", *PERSONAL}:
                assert other[name] == row[name], name
            for name in PERSONAL:
                assert (other[name] is None) == (row[name] is None)
            assert other["latitude"] == pytest.approx(round(row["latitude"], 1), abs=1e-5)
            assert other["longitude"] == (None if row["longitude"] is None else pytest.approx(8.0))


def test_features_are_the_corpus_s(read_back, corpus):
    expected = repr(load_corpus(corpus)["train"].features)
    assert {found["features"] for found in read_back["ways"].values()} == {expected}


def test_the_card_s_snippet_runs(read_back, source):
    first = read_back["ways"]["datasets"]["rows"]["train"][0]
    assert read_back["printed"] == f"{first['id']} north {len(source['train'][0]['audio']['bytes'])} bytes\n"


def test_split_hashes_in_the_card_are_those_of_what_is_read_back(read_back, hub):
    files = hub.repositories["dataset", REPO].files
    card, records = files["README.md"].decode(), json.loads(files["split/split.json"])
    for name, counts in records["folds"][0]["splits"].items():
        found = split_fingerprint({"id": [row["id"] for row in read_back["ways"]["streamed"]["rows"][name]]})
        assert found == counts["sha256"]
        assert f"| {name} | {counts['n']} | {counts['hours']} | `{found}` |" in card


@pytest.mark.parametrize("column", PERSONAL)
def test_pseudonyms_keep_who_shares_what(hub, pushed, source, column):
    pairs = [
        (row[column], other[column])
        for split, rows in tables(hub).items()
        for row, other in zip(source[split], rows, strict=True)
    ]
    assert len(set(pairs)) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
    assert all(re.fullmatch("[0-9a-f]{20}", other) for one, other in pairs if one is not None)


def test_leakage_is_that_of_the_corpus(hub, pushed, corpus):
    shared = json.loads(hub.repositories["dataset", REPO].files["split/split.json"])["folds"][0]["leakage"]
    splits = {name: one.filter(lambda row: row["license"] == "CC BY 4.0") for name, one in load_corpus(corpus).items()}
    for column, row in leakage(splits).iterrows():
        assert {name: shared[column][name] for name in row.index} == row.to_dict(), column
    assert (shared["speaker"]["crossing"], shared["sentence_id"]["crossing"]) == (0, TAKES)


def test_the_card_counts_says_what_crosses_and_is_valid(hub, pushed, source):
    content = hub.repositories["dataset", REPO].files["README.md"].decode()
    header = DatasetCard(content).data.to_dict()
    assert DatasetCardData(**header).to_dict() == header
    assert header["configs"][0]["config_name"] == "default"
    assert (header["license"], header["language"]) == ("cc-by-4.0", ["de"])
    assert (header["task_categories"], header["size_categories"]) == (["audio-classification"], ["n<1K"])
    assert {one["name"]: one["num_examples"] for one in header["dataset_info"]["splits"]} == {
        name: len(rows) for name, rows in source.items()
    }
    assert [one["split"] for one in header["configs"][0]["data_files"]] == ["train", "validation", "test"]
    for dialect, label in (("north", 0), ("south", 1)):
        rows = [row for row in source["train"] if row["dialect"] == label]
        hours = sum(row["duration"] for row in rows) / 3600
        assert f"| {dialect} | train | {len(rows)} | {hours:.2f} | {len({row['speaker'] for row in rows})} |" in content
    assert "No value of `speaker`, `site`, `recording` stands in two splits. Values of `sentence_id` do." in content
    assert "left out: CC BY-NC-ND 4.0 (1)" in content
    assert "`latitude`, `longitude`: rounded to a tenth" in content
    assert "Speech of eight villagers" in content
    assert "- Rendered tones, three per person." in content
    assert len(hub.requests("POST /api/validate-yaml")) >= 1


def test_no_byte_that_was_received_tells_who_speaks_or_where_it_lay(pushed, hub, corpus):
    """Parquet is compressed: its values are looked at, too."""
    secrets = (*PEOPLE, WRITER, str(corpus.parent), str(Path.home()) + "/", (corpus / "id.key").read_text().strip())
    everything = [*hub.repositories["dataset", REPO].files.values(), *hub.stored.values()]
    everything += [one.body + one.path.encode() for one in hub.received]
    for content in hub.stored.values():
        if content.startswith(b"PAR1"):
            file = pq.ParquetFile(io.BytesIO(content))
            everything += [repr(file.metadata.metadata).encode(), repr(file.read().to_pylist()).encode()]
    assert any(b"village 3" in content for content in everything), "values were looked at"
    for secret in secrets:
        assert not [content for content in everything if secret.casefold().encode() in content.lower()], secret


def test_exactly_what_was_listed_went_up(pushed, hub, corpus):
    found, told = pushed
    files = dict(hub.repositories["dataset", REPO].files)
    del files[".gitattributes"]
    assert found.files == sorted((path, len(content)) for path, content in files.items())
    shards = [f"data/{name}-00000-of-00001.parquet" for name in ("test", "train", "validation")]
    records = [f"split/{name}" for name in ("leakage.csv", "split.json", "splits.csv")]
    assert list(dict(found.files)) == ["README.md", *shards, "hf-dialects.json", *records]
    assert (hub.repositories["dataset", REPO].private, found.left_out) == (True, ["id.key", "pseudonyms.csv"])
    assert not (corpus / "hub.part").exists()
    assert any(f"pseudonyms in {', '.join(PERSONAL[:4])}" in one for one in told)
    assert "1 recordings stay here, their licence keeps them: CC BY-NC-ND 4.0" in told


def test_the_mapping_stays_here_and_leads_back(pushed, hub, corpus):
    lines = [line.split(",") for line in (corpus / "pseudonyms.csv").read_text().splitlines()[1:]]
    back = {(column, pseudonym): value for column, value, pseudonym in lines}
    assert {back["speaker", row["speaker"]] for row in tables(hub)["test"]} == {"GretaGarbo", "HannahHoech"}
    for name in ("pseudonyms.csv", "id.key"):
        assert (corpus / name).stat().st_mode & 0o777 == 0o600


def test_the_same_key_gives_the_same_repository_and_another_key_other_pseudonyms(pushed, hub, corpus, tmp_path):
    before = len(hub.requests("PUT /_lfs/"))
    again, _ = share(corpus, hub)
    assert again.url == pushed[0].url
    assert len(hub.requests("PUT /_lfs/")) == before
    share(corpus, hub, "me/other", id_key=tmp_path / "other.key")
    first, other = ({row["speaker"] for row in tables(hub, repo)["train"]} for repo in (REPO, "me/other"))
    assert (len(first), len(other), first & other) == (4, 4, set())


def test_ids_and_places_are_kept_where_somebody_says_so(hub, corpus, source):
    share(corpus, hub, "me/open", keep_ids=True, exact_places=True, public=True)
    repository = hub.repositories["dataset", "me/open"]
    assert repository.private is False
    for split, rows in tables(hub, "me/open").items():
        assert rows == source[split]
    records = json.loads(repository.files["split/split.json"])["folds"][0]["splits"]
    assert records["test"]["sha256"] == split_fingerprint(load_corpus(corpus)["test"])
    assert "Ids of speakers and recordings are those of the source" in repository.files["README.md"].decode()


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        (
            {"SHARING": "refused: the archive says no"},
            {},
            "Speech of eight villagers is not shared: the archive says no",
        ),
        ({"SHARING": "with terms: ask first"}, {}, "under terms only: ask first.*--accept-terms"),
        ({"LICENSE": "other, see there"}, {}, "a license is missing .*name it with --license"),
        ({}, {"license": "mit"}, "is under cc-by-4.0 and is not ours to put under mit"),
    ],
)
def test_what_may_not_be_shared_is_refused_before_anything_is_read_or_sent(hub, tmp_path, settings, options, message):
    before = len(hub.received)
    with pytest.raises(CorpusError, match=message):
        share(tmp_path / "not there", hub, facts=facts_of(script(**settings)), **options)
    assert len(hub.received) == before


def test_a_script_that_says_nothing_about_sharing_is_refused():
    module = script()
    del module.SHARING
    assert facts_of(module).sharing == "refused"


def test_terms_that_are_accepted_and_licences_by_row(hub, corpus):
    accepted = facts_of(script(SHARING="with terms: ask first"))
    share(corpus, hub, "me/terms", accepted, accept_terms=True)
    assert "Terms: ask first." in hub.repositories["dataset", "me/terms"].files["README.md"].decode()
    by_row = facts_of(script(SHARING="by row: they differ", LICENSE="other, by row"))
    share(corpus, hub, "me/rows", by_row, license="other")
    assert sum(map(len, tables(hub, "me/rows").values())) == len(PEOPLE) * TAKES - 1


def changed(folder, **columns) -> Path:
    """The prepared corpus with values that are changed in every row."""

    def rows(source):
        from sharable import rows

        yield from ({**row, **columns} for row in rows(source))

    return prepared(folder, rows=rows)


def changed_audio(folder, audio) -> Path:
    """The prepared corpus with the audio that `audio` makes of every row."""

    def rows(source):
        from sharable import rows

        yield from ({**row, "audio": {"bytes": audio(row), "path": row["audio"]["path"]}} for row in rows(source))

    return prepared(folder, rows=rows)


def tagged(path: str, **tags) -> bytes:
    """The recording with tags."""
    wave, rate = soundfile.read(path)
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", rate, 1, format="WAV") as file:
        for name, text in tags.items():
            setattr(file, name, text)
        file.write(wave)
    return content.getvalue()


def test_a_corpus_of_which_no_recording_may_be_shared(hub, tmp_path):
    corpus = changed(tmp_path, license="all rights reserved")
    with pytest.raises(CorpusError, match=r"no recording of .* may be shared \(all rights reserved: 24\)"):
        share(corpus, hub, "me/none")


@pytest.mark.parametrize("text", ["hf_" + "a" * 34, "see {folder}/notes"])
def test_tokens_and_paths_in_a_column_are_refused(hub, tmp_path, text):
    corpus = changed(tmp_path, text=text.format(folder=tmp_path / "out"))
    with pytest.raises(DialectError, match=r"text of \w+, line 1, holds an (access token|absolute path)"):
        share(corpus, hub, "me/none")
    assert ("dataset", "me/none") not in hub.repositories


def test_speakers_who_are_named_in_texts_are_told(hub, tmp_path):
    def rows(source):
        from sharable import rows

        yield from ({**row, "text": f"I am {row['speaker']}."} for row in rows(source))

    _, told = share(prepared(tmp_path, rows=rows), hub, "me/told")
    assert "warning: text of 23 recordings holds the id of its speaker, and goes up as it is" in told


def test_a_recording_whose_tags_name_its_speaker_is_refused(hub, tmp_path):
    (tmp_path / "source").mkdir()
    import corpora

    path = corpora.tone(tmp_path / "source" / f"{PEOPLE[5]}_1.wav")
    path.write_bytes(path.read_bytes() + f"LISTxxxxINFOIART{PEOPLE[5]}".encode())
    with pytest.raises(CorpusError, match=rf"the file of a recording \(\w{{20}} on the Hub\) names {PEOPLE[5]}"):
        share(prepared(tmp_path), hub, "me/none")
    assert not (tmp_path / "out" / "hub.part").exists()


@pytest.mark.parametrize(("secret", "options"), [(WRITER, {"keep_ids": True}), (str(Path.home() / "x.wav"), {})])
def test_a_recording_whose_tags_hold_a_token_or_a_path_is_refused(hub, tmp_path, secret, options):
    corpus = changed_audio(tmp_path, lambda row: tagged(row["audio"]["path"], comment=f"from {secret}"))
    with pytest.raises(DialectError, match="holds an access token or a path of this machine") as refused:
        share(corpus, hub, "me/none", **options)
    assert secret not in str(refused.value)
    assert ("dataset", "me/none") not in hub.repositories


def test_tags_that_name_nobody_known_are_told(hub, tmp_path):
    _, told = share(changed_audio(tmp_path, lambda row: tagged(row["audio"]["path"], artist="Ada L.")), hub, "me/tags")
    assert "warning: 23 recordings have a tag artist, which goes up with them: see that it names nobody" in told


def test_what_follows_a_dot_in_the_name_of_a_file_stays_here(hub, corpus, tmp_path):
    def path_of(cell):
        return cell | {"path": "take.AdaLovelace"}

    table = pq.read_table(corpus / "data" / "test-00000-of-00001.parquet")
    cells = pa.array([path_of(one) for one in table["audio"].to_pylist()], table.schema.field("audio").type)
    column = table.column_names.index("audio")
    pq.write_table(table.set_column(column, table.schema.field("audio"), cells), tmp_path / "test.parquet")
    share(tmp_path, hub, "me/dots")
    assert all(row["audio"]["path"] == row["id"] for row in tables(hub, "me/dots")["test"])


def test_another_key_than_that_of_the_last_push_is_told(hub, corpus, tmp_path):
    def warnings(**options):
        return [
            one for one in share(corpus, hub, "me/keys", **options)[1] if one.startswith("warning: an earlier push")
        ]

    assert warnings(id_key=tmp_path / "one.key") == warnings(id_key=tmp_path / "one.key") == []
    (changed,) = warnings(id_key=tmp_path / "two.key")
    assert "had pseudonyms by one key, this one has pseudonyms by another key" in changed
    (open_now,) = warnings(keep_ids=True)
    assert "this one has the ids of the source" in open_now
    (closed_again,) = warnings(id_key=tmp_path / "two.key")
    assert "published the ids of the source: they stay in the repository's history" in closed_again
    manifest = hub.repositories["dataset", "me/keys"].files["hf-dialects.json"].decode()
    assert (tmp_path / "two.key").read_text().strip() not in manifest


def test_a_split_that_is_named_after_a_speaker_is_refused(hub, corpus, tmp_path):
    for name in ("train", "test"):
        table = pq.read_table(corpus / "data" / f"{name}-00000-of-00001.parquet")
        pq.write_table(table, tmp_path / f"{'HannahHoech' if name == 'test' else name}.parquet")
    with pytest.raises(CorpusError, match=r"the split HannahHoech is named after a speaker.* rename HannahHoech\.parq"):
        share(tmp_path, hub, "me/none")


def test_a_licence_that_names_a_speaker_is_not_in_the_card(hub, tmp_path):
    def rows(source):
        from sharable import rows

        for number, row in enumerate(rows(source)):
            yield row | ({"license": f"(c) {row['speaker']}, all rights reserved"} if number < 2 else {})

    share(prepared(tmp_path, rows=rows), hub, "me/licences")
    card = hub.repositories["dataset", "me/licences"].files["README.md"].decode()
    assert "left out: another one (2), CC BY-NC-ND 4.0 (1)" in card
    assert PEOPLE[0] not in card


def test_names_in_lists_labels_and_of_other_speakers_become_pseudonyms(hub, tmp_path):
    def rows(source):
        from sharable import rows

        for number, row in enumerate(rows(source)):
            other = PEOPLE[(number // TAKES + 2) % len(PEOPLE)]
            yield row | {"interviewer": other if number < 6 else "nobody"}

    corpus = prepared(tmp_path, rows=rows)
    for file in (corpus / "data").glob("*.parquet"):
        dataset = Dataset.from_parquet(str(file), cache_dir=str(tmp_path / "cache"))
        label = ClassLabel(names=["nobody", *PEOPLE])
        turns = [[{"who": who}] for who in dataset["speaker"]]
        dataset.cast_column("interviewer", label).add_column("turns", turns).to_parquet(str(file))
    share(corpus, hub, "me/others")
    content = repr(tables(hub, "me/others"))
    content += hub.repositories["dataset", "me/others"].files["README.md"].decode()
    assert not [one for one in PEOPLE if one in content]
    assert len({row["turns"] for row in tables(hub, "me/others")["train"]}) == 4


def test_splits_of_other_columns_are_refused(hub, corpus, tmp_path):
    for name in ("train", "test"):
        table = pq.read_table(corpus / "data" / f"{name}-00000-of-00001.parquet")
        features = Features.from_arrow_schema(table.schema)
        if name == "test":
            table = table.drop_columns(["microphone"])
            table = table.cast(Features({one: features[one] for one in table.column_names}).arrow_schema)
        pq.write_table(table, tmp_path / f"{name}.parquet")
    with pytest.raises(CorpusError, match="splits train and test differ in column microphone"):
        share(tmp_path, hub, "me/none")


def test_audio_that_is_not_inside_is_refused(hub, corpus, tmp_path):
    table = pq.read_table(corpus / "data" / "test-00000-of-00001.parquet")
    cells = pa.array([{"bytes": None, "path": "one.wav"}] * len(table), table.schema.field("audio").type)
    pq.write_table(
        table.set_column(table.column_names.index("audio"), "audio", cells).cast(table.schema),
        tmp_path / "test.parquet",
    )
    with pytest.raises(CorpusError, match="is not inside the Parquet; split with hf-dialects split --embed"):
        share(tmp_path, hub, "me/none")


def test_a_split_that_was_made_here_is_shared_with_how_it_was_made(hub, pushed, corpus, run, tmp_path):
    assert (
        run("split", corpus, "--by", "site", "--sizes", "0.5,0.25,0.25", "--out", tmp_path / "by-site", "--quiet").code
        == 0
    )
    share(tmp_path / "by-site", hub, "me/by-site", id_key=corpus / "id.key")
    records = json.loads(hub.repositories["dataset", "me/by-site"].files["split/split.json"])
    assert (records["by"], records["seed"], records["folds"][0]["leakage"]["site"]["crossing"]) == (["site"], 0, 0)
    known = {row["speaker"] for rows in tables(hub).values() for row in rows}
    assert {row["speaker"] for rows in tables(hub, "me/by-site").values() for row in rows} == known


def test_on_the_command_line(hub, run, tmp_path, monkeypatch):
    import corpora

    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", WRITER)
    arguments = ("prepare", "fsdd", "--source", corpora.fsdd(tmp_path / "source"), "--out", tmp_path / "out", "--quiet")
    left = run(*arguments, "--push-to-hub", "me/digits")
    assert left.code == 0, left.err
    assert f"private: {hub.endpoint}/datasets/me/digits/commit/" in left.out
    assert "george" not in repr(tables(hub, "me/digits"))
    assert len(tables(hub, "me/digits")["train"]) == 36
    left = run("prepare", "vivaldi", "--source", tmp_path / "none", "--out", tmp_path / "it", "--push-to-hub", "me/it")
    assert left.code == 1
    assert "VIVALDI" in left.err
    assert "is not shared: the project lets its recordings be heard" in left.err
    assert not (tmp_path / "it").exists()
    assert "options of sharing were given without --push-to-hub" in run(*arguments, "--public").err
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    assert "there is no token to write to me/digits with" in run(*arguments, "--push-to-hub", "me/digits").err
