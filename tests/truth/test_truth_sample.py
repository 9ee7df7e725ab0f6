import gzip
import io
import json
import random
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SHARED, needs_shared
from encoder.static_help import small_encoder
from rich.console import Console
from truth_help import write_rubric

from jql.annotator.annotator import Annotator
from jql.annotator.features import Features
from jql.annotator.heads import Heads
from jql.engine import storage
from jql.errors import InputError, RecipeError
from jql.rubric import load_rubric
from jql.truth.draw import Drawn, choose_pilot
from jql.truth.label.folder import load_folder
from jql.truth.sample import run_sample, sample_table
from jql.truth.sample_folder import write_sample
from jql.truth.strata import score_bands

RATERS = ["ann", "bo", "cy", "dee"]
WORDS = {
    "eng_Latn": "river stone energy school cheap offer click water light number theorem cell buy now history",
    "deu_Latn": "Fluss Stein Energie Schule billig Angebot Wasser Licht Zahl Satz Zelle kaufen jetzt Kunde",
}
FILES = ("documents.parquet", "assignments.parquet", "rubric.yaml", "sample.json")


def made_up(language, n, seed=0):
    """Documents of a language with scores of some spread."""
    draw = random.Random(f"{language}{seed}")
    words = WORDS[language].split()
    return [
        {
            "id": f"{language[:3]}-{i}",
            "language": language,
            "text": ". ".join(" ".join(draw.choices(words, k=draw.randint(3, 12))) for _ in range(1 + i % 12)) + ".",
        }
        for i in range(n)
    ]


def write(folder, rows, files=2):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(files):
        with (folder / f"{i}.jsonl").open("w") as out:
            out.writelines(f"{json.dumps(row)}\n" for row in rows[i::files])
    return str(folder)


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return write(tmp_path_factory.mktemp("documents"), made_up("eng_Latn", 160) + made_up("deu_Latn", 160))


@pytest.fixture(scope="module")
def rubric(tmp_path_factory):
    """A rubric's file; beside it lies a small annotator, as the one in the box takes half a second to load."""
    folder = tmp_path_factory.mktemp("rubric")
    spec, _ = small_encoder(folder / "encoder")
    draw = np.random.default_rng(0)
    shapes = {"edu": ((8, 24), (8,), (1, 8), (1,))}
    layers = {name: tuple(draw.normal(size=s).astype(np.float32) for s in sizes) for name, sizes in shapes.items()}
    plain = Features(chars=0, surface=False, ngrams=False)
    small = Annotator("small", spec, plain, Heads.side_by_side(layers), rubric="name: small\n", card="small\n")
    small.save(folder / "annotator")
    return write_rubric(folder)


def small_annotator(rubric_file):
    return str(Path(rubric_file).with_name("annotator"))


def plan(documents, out, rubric_file, **options):
    settings = {"raters": RATERS, "per_language": 30, "languages": None, "pilot": 10, "rubric": rubric_file}
    return run_sample(documents, str(out), **{**settings, "annotator": small_annotator(rubric_file), **options})


def tables(out):
    return [pq.read_table(f"{out}/{name}.parquet").to_pylist() for name in ("documents", "assignments")]


@pytest.fixture(scope="module")
def planned(documents, rubric, tmp_path_factory):
    """The folder of a plan, to look at and to copy."""
    out = tmp_path_factory.mktemp("plan") / "run"
    plan(documents, out, rubric)
    return out


def record_of(out):
    return json.loads((out / "sample.json").read_text())


def test_a_plan(planned, rubric):
    record = record_of(planned)
    rows, assigned = tables(planned)
    assert sorted(path.name for path in planned.iterdir()) == sorted(FILES)
    assert (planned / "rubric.yaml").read_bytes() == Path(rubric).read_bytes()

    strata = Counter((row["language"], row["stratum"]) for row in rows)
    for language, count in record["languages"].items():
        held, drawn = count["held"], count["drawn"]
        assert (sum(held), sum(drawn), count["wanted"]) == (160, 30, [6] * 5)
        assert [strata[language, f"{band}/5"] for band in range(1, 6)] == drawn
        assert all(n == min(held[i], n) for i, n in enumerate(drawn))
    texts = {row["id"]: row["text"] for row in made_up("eng_Latn", 160) + made_up("deu_Latn", 160)}
    assert all(texts[row["id"]] == row["text"] and row["source"] == row["id"] for row in rows)
    assert record["settings"]["rubric"] == load_rubric(rubric).guideline_version
    assert record["settings"]["annotator"]["revision"] == Annotator.load(small_annotator(rubric)).revision

    pilot = {row["id"] for row in rows if row["pilot"]}
    assert Counter(row["language"] for row in rows if row["pilot"]) == {"eng_Latn": 5, "deu_Latn": 5}
    assert set(Counter(row["stratum"] for row in rows if row["pilot"]).values()) == {2}
    orders = {rater: [a["id"] for a in assigned if a["rater"] == rater] for rater in RATERS}
    for rater, ids in orders.items():
        assert [a["position"] for a in assigned if a["rater"] == rater] == list(range(len(ids)))
        assert ids[:10] == orders["ann"][:10] and set(ids[:10]) == pilot
        assert len(set(ids)) == len(ids) == record["raters"][rater]
    labels = Counter(a["id"] for a in assigned)
    assert {row["id"] for row in rows} == set(labels)
    assert all(labels[id] == (4 if id in pilot else 3) for id in labels)
    assert max(record["raters"].values()) - min(record["raters"].values()) <= 1


def test_the_first_pass_scores_are_those_of_the_annotator(documents, rubric, tmp_path):
    options = {"annotator": "edu", "head": "web", "overlap": 0.2, "labels": 2}
    record = plan(documents, tmp_path / "run", rubric, languages=["deu_Latn"], **options)
    rows, assigned = tables(tmp_path / "run")
    everything = made_up("deu_Latn", 160)
    scores = Annotator.load("edu").score([row["text"] for row in everything], ["deu_Latn"] * 160)["web"]
    bands, edges = score_bands(scores, 5)
    known = {row["id"]: (score, band) for row, score, band in zip(everything, scores, bands, strict=True)}
    for row in rows:
        score, band = known[row["id"]]
        assert row["score_first"] == pytest.approx(score, abs=1e-5)
        assert row["stratum"] == f"{band + 1}/5"
    assert record["languages"]["deu_Latn"]["edges"] == pytest.approx(edges.tolist(), abs=1e-4)
    assert record["left_out"] == {"other_language": 160}
    # Overlap is a share of what is not the pilot: of 20 documents 4.
    assert Counter(Counter(a["id"] for a in assigned).values()) == {4: 10, 2: 4, 1: 16}
    assert (record["rated_by_several"], record["rated_by_one"]) == (4, 16)


def test_the_order_of_the_input_is_no_matter_and_the_seed_is(documents, planned, rubric, tmp_path):
    rows = made_up("deu_Latn", 160)[::-1] + made_up("eng_Latn", 160)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    pq.write_table(pa.Table.from_pylist(rows[:100]), mixed / "z.parquet", row_group_size=17)
    with gzip.open(mixed / "a.jsonl.gz", "wt") as out:
        out.writelines(f"{json.dumps(row)}\n" for row in rows[100:])
    plan(str(mixed), tmp_path / "same", rubric, raters=RATERS[::-1])
    assert tables(planned) == tables(tmp_path / "same")
    plan(documents, tmp_path / "other", rubric, seed=1, pilot=0, labels=4)
    ids = [{row["id"] for row in tables(out)[0]} for out in (planned, tmp_path / "other")]
    assert ids[0] != ids[1] and ids[0] & ids[1]

    rows, assigned = tables(tmp_path / "other")  # everyone rates everything, each in an order of their own
    orders = [[a["id"] for a in assigned if a["rater"] == rater] for rater in RATERS]
    assert len({tuple(order) for order in orders}) == 4 and len({frozenset(order) for order in orders}) == 1
    # A rare band must not come last: its places are spread over the whole order.
    stratum = {row["id"]: row["stratum"] for row in rows}
    places = [i for order in orders for i, id in enumerate(order) if stratum[id] == "5/5"]
    assert min(places) < 15 and max(places) > 45


def test_what_cannot_be_rated_is_counted(rubric, tmp_path):
    rows = made_up("eng_Latn", 40)
    copies = [{**row, "id": f"copy-{i}"} for i, row in enumerate(rows[:5])]
    bad = [{"id": "e", "language": "eng_Latn", "text": " \n"}, {"id": "n", "language": "eng_Latn", "text": None}]
    bad += [{"id": "u", "language": "xx", "text": "river"}, {"id": "eng-9", "language": "eng_Latn", "text": "river"}]
    folder = tmp_path / "documents"
    write(folder, rows + copies + bad + made_up("deu_Latn", 3))
    (folder / "broken.jsonl").write_text('{"text"\n')
    record = plan(str(folder), tmp_path / "run", rubric, languages=["eng_Latn"], per_language=100)
    reasons = {"empty": 1, "json": 1, "language_unknown": 1, "text_null": 1, "other_language": 3}
    assert record["left_out"] == {"duplicate": 5, "repeated_id": 1, **reasons}
    assert record["documents"] == 40
    assert record["shortfalls"] == [f"eng_Latn: wanted 100, holds {record['documents']}; all of them are drawn"]
    texts = [row["text"] for row in tables(tmp_path / "run")[0]]
    assert len(set(texts)) == len(texts)


def test_what_a_band_lacks_the_others_give(documents, rubric, tmp_path):
    record = plan(documents, tmp_path / "run", rubric, languages=["eng_Latn"], per_language=120)
    count = record["languages"]["eng_Latn"]
    short = [band for band in range(5) if count["held"][band] < 24]
    assert short and sum(count["drawn"]) == 120
    for band, line in zip(short, record["shortfalls"], strict=True):
        assert line == f"eng_Latn {band + 1}/5: wanted 24, holds {count['held'][band]}; the other bands give the rest"

    console = Console(width=140, record=True, file=io.StringIO())
    console.print(sample_table(record))
    text = console.export_text()
    cells = [[cell.strip() for cell in line.split("│")] for line in text.splitlines()]
    drawn = [f"{n} of {held}" for n, held in zip(count["drawn"], count["held"], strict=True)]
    assert ["", "eng_Latn", *drawn, "120 of 160", ""] in cells
    shown = " ".join(text.split())
    assert "120 documents: 10 by everyone, 110 by 3 raters each, 0 by one" in shown
    assert "left out: other_language 160" in shown
    assert record["shortfalls"][0] in shown


def test_a_pilot_of_fewer_documents_than_bands_takes_high_ones():
    drawn = [Drawn("eng_Latn", i // 4, (0, i), 0.0) for i in range(20)]
    assert [d.band for d, is_pilot in zip(drawn, choose_pilot(drawn, 3), strict=True) if is_pilot] == [2, 3, 4]


def test_sources_are_kept_and_a_language_can_be_given(rubric, tmp_path):
    rows = [{"id": row["id"], "text": row["text"], "source": "original"} for row in made_up("deu_Latn", 20)]
    record = plan(write(tmp_path / "documents", rows), tmp_path / "run", rubric, per_language=10, language="deu_Latn")
    assert list(record["languages"]) == ["deu_Latn"]
    assert {row["source"] for row in tables(tmp_path / "run")[0]} == {"original"}


def test_the_rating_page_opens_the_folder(planned):
    folder = load_folder(str(planned))
    assert set(folder.orders) == set(RATERS)
    assert sum(document.pilot for document in folder.documents.values()) == 10
    assert folder.rubric.high == 3


def test_an_object_store_takes_the_plan(documents, planned, rubric, s3):
    out = storage.join(s3, "sample/run")
    plan(documents, out, rubric)
    for name in FILES:
        assert storage.read_bytes(storage.join(out, name)) == (planned / name).read_bytes()
    with pytest.raises(InputError, match="holds a sample made with another seed; choose another output"):
        plan(documents, out, rubric, seed=1)


def test_a_folder_is_never_overwritten(documents, planned, rubric, tmp_path):
    out = Path(shutil.copytree(planned, tmp_path / "run"))
    (out / "documents.parquet").unlink()  # as if it had been cut off
    plan(documents, out, rubric)
    assert all((out / name).read_bytes() == (planned / name).read_bytes() for name in FILES)
    with pytest.raises(InputError, match="holds a sample made with another per_language, pilot; choose another output"):
        plan(documents, out, rubric, per_language=31, pilot=3)
    changed = {**record_of(out), "documents": 61}  # the same settings on an input that has changed
    with pytest.raises(InputError, match="holds a sample of other documents"):
        write_sample(str(out), changed, pq.read_table(out / "documents.parquet"), pa.table({}), rubric)
    (out / "ratings.sqlite").touch()
    with pytest.raises(InputError, match="has ratings in it"):
        plan(documents, out, rubric)
    assert all((out / name).read_bytes() == (planned / name).read_bytes() for name in FILES)


def test_folders_of_something_else_are_left_alone(documents, rubric, tmp_path):
    (tmp_path / "documents.parquet").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"has a documents\.parquet that no sample\.json tells of"):
        plan(documents, tmp_path, rubric)
    (tmp_path / "sample.json").write_text("[]")
    with pytest.raises(InputError, match=r"sample\.json: not what jql writes"):
        plan(documents, tmp_path, rubric)
    assert (tmp_path / "documents.parquet").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"raters": []}, "raters: expected one or more names, got none"),
        ({"raters": ["ann", " Ann "]}, "raters: ' Ann ' is there twice"),
        ({"raters": ["ann", ""]}, "rater: expected a name of 1 to"),
        ({"labels": 5}, r"labels: expected at most one a rater \(4\), got 5; name more raters"),
        ({"labels": 0}, "labels: expected 1 or more, got 0"),
        ({"per_language": 0}, "per_language: expected 1 or more, got 0"),
        ({"bands": 0}, "bands: expected 1 or more, got 0"),
        ({"pilot": -1}, "pilot: expected 0 or more, got -1"),
        ({"seed": -1}, "seed: expected 0 or more, got -1"),
        ({"overlap": 1.5}, r"overlap: expected a share in \[0, 1\], got 1\.5"),
        ({"overlap": float("nan")}, r"overlap: expected a share in \[0, 1\], got nan"),
        ({"languages": []}, "languages: expected one or more, got none"),
        ({"languages": ["german"]}, "unknown language 'german'"),
        ({"language": "german"}, "unknown language 'german'"),
        (
            {"annotator": "edu", "head": "nope"},
            "head: expected one of edu, web, llama3, llama31 of annotator edu, got 'nope'",
        ),
        ({"annotator": "nope"}, "annotator 'nope': no such folder"),
        ({"rubric": "nope"}, "nope: no such rubric"),
        ({"languages": ["fra_Latn"]}, r"no document of fra_Latn that can be rated \(left out: other_language 320\)"),
        ({"pilot": 61}, "pilot: expected at most the 60 documents drawn, got 61; lower it"),
    ],
)
def test_options_that_are_wrong(documents, rubric, tmp_path, options, message):
    with pytest.raises(RecipeError, match=message):
        plan(documents, tmp_path / "run", rubric, **options)
    assert not (tmp_path / "run").exists()


def test_input_that_is_wrong(rubric, tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        plan(str(tmp_path / "none"), tmp_path / "run", rubric)
    empty = write(tmp_path / "documents", [{"text": " ", "language": "eng_Latn"}], files=1)
    with pytest.raises(InputError, match=r"no document that can be rated \(left out: empty 1\)"):
        plan(empty, tmp_path / "run", rubric)


@needs_shared
def test_a_plan_over_real_pages(tmp_path, rubric):
    folder = tmp_path / "web"
    folder.mkdir()
    for language in ("als_Latn", "srp_Latn"):
        (folder / f"{language}.parquet").symlink_to(SHARED / "web" / f"{language}.parquet")
    record = plan(str(folder), tmp_path / "run", rubric, per_language=100, pilot=20, annotator="edu")
    assert record["languages"]["als_Latn"]["drawn"] == [20] * 5
    assert np.sum(record["languages"]["srp_Latn"]["held"]) == 7
    assert record["documents"] == 107
