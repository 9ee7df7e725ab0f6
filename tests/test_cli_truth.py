"""The verbs around ratings and judges as a person uses them: what they print, exit codes, one line for a mistake."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import WORDS
from typer.testing import CliRunner

from jql.cli import app
from jql.errors import JqlError, RecipeError


def jql(*arguments: str) -> str:
    """What a command prints; what it raises is raised."""
    made = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert made.exit_code == 0, made.output
    return made.output


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    rows = []
    for i in range(60):
        words = " ".join(WORDS[(i * 7 + k) % len(WORDS)] for k in range(5 + i))
        rows.append({"id": f"d{i}", "text": f"Page {i} on {words}.", "language": ("eng_Latn", "swe_Latn")[i % 2]})
    path = tmp_path_factory.mktemp("documents") / "in.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def test_from_documents_to_ground_truth(documents, tmp_path):
    raters = ["--rater", "ada", "--rater", "bo", "--rater", "cai"]
    said = jql("truth", "sample", documents, "--to", f"{tmp_path}/run", *raters, "--per-language", "12", "--pilot", "4")
    assert "eng_Latn" in said and f"rate with jql label {tmp_path}/run" in said
    orders = pq.read_table(tmp_path / "run/assignments.parquet").to_pylist()
    assert {o["rater"] for o in orders} == {"ada", "bo", "cai"}

    # What the page would store, in the form of a table.
    score = {id: i % 6 for i, id in enumerate(sorted({o["id"] for o in orders}))}
    texts = {r["id"]: r for r in pq.read_table(tmp_path / "run/documents.parquet").to_pylist()}
    rows = [
        {
            "id": o["id"],
            "rater": o["rater"],
            "score": min(5, score[o["id"]] + (o["rater"] == "bo")),
            "language": texts[o["id"]]["language"],
            "text": texts[o["id"]]["text"],
        }
        for o in orders
    ]
    (tmp_path / "ratings.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    agreed = jql("truth", "agree", f"{tmp_path}/ratings.jsonl", "--to", f"{tmp_path}/agree", "--resamples", "100")
    assert "origin: human 72" in agreed and "Krippendorff's alpha, ordinal" in agreed
    assert json.loads((tmp_path / "agree/agreement.json").read_text(encoding="utf-8"))
    made = jql("truth", "aggregate", f"{tmp_path}/ratings.jsonl", "--to", f"{tmp_path}/truth.parquet")
    assert "24 documents in 2 languages, 3 raters, 72 scores" in made
    truth = {r["id"]: r["score"] for r in pq.read_table(tmp_path / "truth.parquet").to_pylist()}
    assert truth == {id: float(s) for id, s in score.items()}  # two of three say so

    jql("truth", "export", f"{tmp_path}/ratings.jsonl", "--to", f"{tmp_path}/a.json", "--format", "argilla")
    back = jql("truth", "import", f"{tmp_path}/a.json", "--to", f"{tmp_path}/b.parquet", "--format", "argilla")
    assert "b.parquet" in back
    assert len(pq.read_table(tmp_path / "b.parquet")) == 72


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["truth", "agree", "nowhere"], RecipeError, r"nowhere: "),
        (["truth", "sample", "DOCUMENTS", "--to", "OUT", "--rater", "a", "--labels", "3"], RecipeError, r"labels: expected at most one a rater"),
        (["truth", "sample", "DOCUMENTS", "--to", "OUT", "--rater", "a", "--labels", "1", "--language", "de"], RecipeError, r"did you mean deu_Latn"),
        (["truth", "aggregate", "DOCUMENTS", "--to", "OUT/t.parquet"], RecipeError, r"in\.parquet"),
        (["truth", "translate", "DOCUMENTS", "--run", "OUT", "--to", "deu_Latn", "--endpoint", "http://127.0.0.1:9/v1", "--model", "m"], RecipeError, r"no TRUTH table"),
        (["label", "nowhere", "--no-browser"], RecipeError, r"nowhere: "),
        (["judge", "rank", "no.yaml"], RecipeError, r"no\.yaml: no such recipe"),
        (["judge", "no.yaml"], RecipeError, r"no\.yaml: no such recipe"),
        (["judge", "next", "nowhere", "--to", "OUT/n.parquet"], JqlError, r"nowhere: "),
    ],
)  # fmt: skip
def test_mistakes(arguments, error, message, documents, tmp_path):
    filled = [a.replace("DOCUMENTS", documents).replace("OUT", str(tmp_path)) for a in arguments]
    with pytest.raises(error, match=message):
        jql(*filled)
