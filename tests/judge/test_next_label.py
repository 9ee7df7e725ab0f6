"""Documents of a run folder to label next: what is read of it, what is written, what is refused."""

from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import WORDS

from jql.engine.progress import console
from jql.errors import DataError, InputError, RecipeError
from jql.judge.next_label import read_candidates, run_next, scored_units
from jql.judge.next_table import NEXT
from jql.pipeline import run_recipe
from jql.recipe import make_recipe

HEADS = ["web", "llama3", "llama31"]


def rows():
    random = Random(0)
    for i in range(40):
        yield {"id": f"e{i}", "text": " ".join(random.choices(WORDS, k=5 + 3 * i)), "language": "eng_Latn"}
    for i in range(12):
        yield {"id": f"s{i}", "text": f"Lektion {i}. " + " ".join(random.choices(WORDS, k=30)), "language": "swe_Latn"}
    yield {"id": "copy", "text": "Lektion om vatten och is.", "language": "swe_Latn", "source": "original"}
    yield {"id": "copy of it", "text": "Lektion om vatten och is.", "language": "swe_Latn"}
    yield {"id": "blank", "text": "  ", "language": "eng_Latn"}


def annotate(documents, folder, language=None):
    data = {"name": "test", "output": str(folder), "stages": ["annotate"], "engine": {"backend": "inline"}}
    data["documents"] = {"path": str(documents), "unit_rows": 20, "language": language}
    run_recipe(make_recipe(data), console(quiet=True))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("next")
    table = pa.Table.from_pylist(
        list(rows()), pa.schema([(n, pa.string()) for n in ("id", "text", "language", "source")])
    )
    pq.write_table(table, folder / "documents.parquet", row_group_size=10)
    annotate(folder / "documents.parquet", folder / "run")
    return str(folder / "run")


def chosen(run, out, documents, **settings):
    told = run_next(run, str(out), documents, **settings)
    table = pq.read_table(out)
    assert table.schema.equals(NEXT) and table.num_rows == told["documents"]
    return told, table.to_pylist()


def test_random_takes_equal_shares_and_distinct_texts(run, tmp_path):
    told, found = chosen(run, tmp_path / "deep" / "next.parquet", 30)
    assert told["languages"] == {"eng_Latn": {"held": 40, "chosen": 17}, "swe_Latn": {"held": 14, "chosen": 13}}
    assert told["left_out"] == {"empty": 1} and told["by"] == "random" and told["heads"] == []
    texts = {row["id"]: row["text"] for row in rows()}
    assert all(row["text"] == texts[row["id"]] and row["by"] == "random" for row in found)
    assert len({row["text"] for row in found}) == len({row["id"] for row in found}) == 30
    assert {row["source"] for row in found if row["id"] == "copy"} <= {"original"}
    assert all(row["source"] == row["id"] for row in found if row["id"] != "copy")
    again, other = chosen(run, tmp_path / "b.parquet", 30)[1], chosen(run, tmp_path / "c.parquet", 30, seed=1)[1]
    assert again == found and {row["id"] for row in other} != {row["id"] for row in found}


def test_disagreement_takes_those_that_heads_rank_most_differently(run, tmp_path):
    told, found = chosen(run, tmp_path / "next.parquet", 6, by="disagreement", languages=["eng_Latn"])
    assert told["heads"] == HEADS and told["left_out"] == {"empty": 1, "other_language": 14}
    scores = {
        row["id"]: [row[h] for h in HEADS]
        for unit in scored_units(run)
        for row in pq.read_table(unit.payload["scores"]).to_pylist()
        if row["language"] == "eng_Latn" and row["reason"] is None
    }

    def rank(id, head):
        return (sum(other[head] < scores[id][head] for other in scores.values()) + 0.5) / len(scores)

    ranks = {id: [rank(id, head) for head in range(3)] for id in scores}
    spread = {id: (sum((r - sum(of) / 3) ** 2 for r in of) / 3) ** 0.5 for id, of in ranks.items()}
    wanted = sorted(spread, key=lambda id: -spread[id])[:6]
    assert sorted(round(row["acquisition"], 9) for row in found) == sorted(round(spread[id], 9) for id in wanted)
    assert all(row["acquisition"] == pytest.approx(spread[row["id"]]) for row in found)
    assert [row["acquisition"] for row in found] == sorted((row["acquisition"] for row in found), reverse=True)
    two = chosen(run, tmp_path / "two.parquet", 6, by="disagreement", heads=["web", "llama3"])[0]
    assert two["heads"] == ["web", "llama3"]


def test_what_has_a_label_is_not_labelled_again(run, tmp_path):
    first = chosen(run, tmp_path / "first.parquet", 20)[1]
    twins = {"copy", "copy of it"} & {row["id"] for row in first}  # one text, so only one can be among them
    told, second = chosen(run, tmp_path / "second.parquet", 20, known=[str(tmp_path / "first.parquet")])
    assert told["left_out"] == {"empty": 1, "labelled": 20 + len(twins)}
    assert not {row["id"] for row in first} & {row["id"] for row in second}
    told, rest = chosen(run, tmp_path / "rest.parquet", 1000)
    assert told["documents"] == len(rest) == 53 and told["wanted"] == 1000


def test_object_storage(run, s3, tmp_path):
    first = run_next(run, f"{s3}/first.parquet", 10, languages=["eng_Latn"])
    told, second = chosen(run, tmp_path / "second.parquet", 50, known=[f"{s3}/first.parquet"])
    assert first["documents"] == 10 and told["left_out"]["labelled"] == 10 and len(second) == 43


def test_the_latest_scores_of_the_folder_count(tmp_path):
    folder = tmp_path / "run"
    documents = tmp_path / "documents.jsonl"
    documents.write_text('{"text": "A first text about rivers and mills."}\n' * 2)
    annotate(documents, folder, "eng_Latn")
    documents.write_text('{"text": "A second text about bridges."}\n{"text": "And a third."}\n')
    annotate(documents, folder, "eng_Latn")
    found = chosen(str(folder), tmp_path / "next.parquet", 5)[1]
    assert {row["text"] for row in found} == {"A second text about bridges.", "And a third."}
    assert all(row["id"].startswith(str(documents)) for row in found)


def test_documents_that_changed_are_refused(run, tmp_path):
    unit = scored_units(run)[0]
    table = pq.read_table(unit.payload["path"])
    pq.write_table(table.take(list(reversed(range(table.num_rows)))), tmp_path / "changed.parquet", row_group_size=10)
    unit.payload["path"] = str(tmp_path / "changed.parquet")
    with pytest.raises(DataError, match="not the documents that were scored; run `jql annotate` again"):
        read_candidates(unit, [], None, (), frozenset())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"documents": 0}, "documents: expected 1 or more, got 0"),
        ({"seed": -1}, "seed: expected 0 or more, got -1"),
        ({"by": "spread"}, "by: expected random or disagreement, got 'spread'"),
        ({"out": "next.csv"}, "out: expected a file ending in .parquet, got next.csv"),
        ({"languages": ["en"]}, "unknown language 'en'.*eng_Latn"),
        ({"by": "disagreement", "heads": ["web"]}, "needs two heads or more, edu gives web; write by=random"),
        ({"by": "disagreement", "heads": ["nothing"]}, "no head 'nothing'; it has edu, web"),
    ],
)
def test_bad_options(run, tmp_path, settings, message):
    with pytest.raises(RecipeError, match=message):
        run_next(run, **{"out": str(tmp_path / "n.parquet"), "documents": 5, **settings})


def test_bad_input(run, tmp_path):
    out = str(tmp_path / "n.parquet")
    with pytest.raises(InputError, match="no run folder"):
        run_next(str(tmp_path), out, 5)
    (tmp_path / "recipe.yaml").write_text("name: test\noutput: nowhere\nstages: [annotate]\ndocuments: {path: d}\n")
    with pytest.raises(InputError, match="no scores in this run folder; run `jql annotate` first"):
        run_next(str(tmp_path), out, 5)
    with pytest.raises(InputError, match=r"no document of deu_Latn that can be labelled \(left out: empty 1, other"):
        run_next(run, out, 5, languages=["deu_Latn"])
    pq.write_table(pa.table({"name": ["e1"]}), tmp_path / "known.parquet")
    with pytest.raises(InputError, match=r"known.parquet: expected a column id, found name"):
        run_next(run, out, 5, known=[str(tmp_path / "known.parquet")])
    assert not (tmp_path / "n.parquet").exists()
