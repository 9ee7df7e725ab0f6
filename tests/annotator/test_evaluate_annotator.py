"""An annotator evaluated on files: what is read and refused, and a run from files to JSON and tables."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import WORDS
from rich.console import Console

from jql.agreement import metrics
from jql.agreement.figures import Settings
from jql.annotator.annotator import Annotator
from jql.annotator.evaluate_annotator import read_judgments, read_parallel, run_evaluate_annotator
from jql.errors import DataError, InputError

FEW = Settings(resamples=100)


def text(seed: int, words: int) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, words))


def judged_table(n: int = 60) -> dict[str, list]:
    scores = [float(i % 6) for i in range(n)]
    languages = ["eng_Latn" if i % 2 else "deu_Latn" for i in range(n)]
    return {"text": [text(i, 20 + i) for i in range(n)], "score": scores, "language": languages}


def write(path: Path, columns: dict[str, list]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return str(path)


def write_parallel(folder: Path, lines: int = 110) -> str:
    english = [text(i, 8) for i in range(lines)]
    other = {"source": ["tatoeba"], "english": ["not used"], "translation": ["nicht benutzt"]}
    for code, sign in (("deu_Latn", "der"), ("fra_Latn", "le")):
        rows = {"source": ["ntrex"] * lines, "english": english, "translation": [f"{sign} {e}" for e in english]}
        write(folder / f"{code}.parquet", {name: rows[name] + other[name] for name in rows})
    write(folder / "mlt_Latn.parquet", other)
    return str(folder)


def test_judgments_are_read_from_every_file_with_their_sources(tmp_path):
    columns = {"text": ["a", None, "c"], "score": [1, 2, None], "language": ["deu_Latn", "deu_Latn", None]}
    write(tmp_path / "one.parquet", columns)
    write(tmp_path / "three.parquet", {**columns, "source": ["s", "t", None], "id": ["x", "y", "z"]})
    write(tmp_path / "two.parquet", {**columns, "id": ["x", "y", "z"]})
    found, without_text = read_judgments(str(tmp_path))
    assert without_text == 3
    assert found["text"] == ["a", "c"] * 3 and found["score"] == [1.0, None] * 3
    assert found["language"] == ["deu_Latn", "unknown"] * 3
    one, three = tmp_path / "one.parquet", tmp_path / "three.parquet"
    assert found["source"] == [f"{one}, row 0", f"{one}, row 2", "s", f"{three}, row 2", "x", "z"]


def test_judgments_that_cannot_be_read_are_refused(tmp_path):
    path = write(tmp_path / "a.parquet", {"text": ["a"], "language": ["deu_Latn"], "scores": [[1, 2]]})
    with pytest.raises(InputError, match=r"a.parquet: no column score among text, language, scores; expected"):
        read_judgments(path)
    path = write(tmp_path / "a.parquet", {"text": ["a"], "language": ["deu_Latn"], "score": ["good"]})
    with pytest.raises(InputError, match=r"a.parquet: .*good.*; expected text, language: strings, score: a number"):
        read_judgments(path)
    with pytest.raises(InputError, match="no such file or folder"):
        read_judgments(str(tmp_path / "none"))


def test_parallel_documents_say_the_same_in_every_language(tmp_path):
    folder = write_parallel(tmp_path / "parallel")
    rows = pq.read_table(tmp_path / "parallel" / "fra_Latn.parquet").to_pylist()
    del rows[50]  # a line that French lacks is left out of all languages
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "parallel" / "fra_Latn.parquet")
    sides, left_out = read_parallel(folder, "ntrex", 105)
    english = [text(i, 8) for i in range(5, 110) if i != 50]  # the last 105 German lines are 5 to 109
    assert left_out == {"mlt_Latn": "no lines of ntrex"} and set(sides) == {"eng_Latn", "deu_Latn", "fra_Latn"}
    assert sides["eng_Latn"] == ["\n".join(english[at : at + 5]) for at in range(0, 100, 5)]
    assert sides["fra_Latn"][1] == "\n".join(f"le {line}" for line in english[5:10])


def test_parallel_text_that_cannot_be_used_is_refused(tmp_path):
    folder = write_parallel(tmp_path / "parallel")
    with pytest.raises(InputError, match="no language has lines of source 'sib'; name another source"):
        read_parallel(folder, "sib", 500)
    with pytest.raises(
        DataError, match=r"have 99 lines of ntrex in common among the last 99, expected 100 .* take more"
    ):
        read_parallel(folder, "ntrex", 99)
    write(tmp_path / "parallel" / "x.parquet", {"english": ["a"]})
    with pytest.raises(InputError, match=r"x.parquet: no column source, translation"):
        read_parallel(folder, "ntrex", 500)


def test_a_run_from_files_to_json_and_tables(tmp_path):
    judged = write(tmp_path / "judged.parquet", judged_table())
    parallel = write_parallel(tmp_path / "parallel")
    stream = io.StringIO()
    out = tmp_path / "out"
    result = run_evaluate_annotator(
        "edu",
        judged,
        str(out),
        against="edu",
        parallel=parallel,
        settings=FEW,
        console=Console(file=stream, width=250),
    )
    assert json.loads((out / "evaluation.json").read_text(encoding="utf-8")) == result
    columns = judged_table()
    scores = Annotator.load("edu").score(columns["text"])
    for head in ("edu", "web"):
        entry = result["evaluation"][head]
        assert entry["pooled"]["figures"]["spearman"]["value"] == metrics.spearman(
            scores[head], np.array(columns["score"])
        )
        assert entry["macro"]["languages"] == ["deu_Latn", "eng_Latn"] and entry["pooled"]["sources"] == 60
        assert entry["left_out"] == {"no label": 0, "no text": 0}
        assert result["comparison"][head]["pooled"]["mae"]["difference"] == 0
        assert set(result["invariance"]["heads"][head]["languages"]) == {"deu_Latn", "fra_Latn"}
    assert result["invariance"]["languages_left_out"] == {"mlt_Latn": "no lines of ntrex"}
    shown = stream.getvalue()
    assert "edu, head web, on" in shown and "the same documents" in shown and "translations of ntrex" in shown


def test_a_run_that_cannot_be_made_says_where_and_why(tmp_path):
    judged = write(tmp_path / "judged.parquet", judged_table())
    with pytest.raises(InputError, match="head 'llama': edu has edu, web, llama3, llama31; name one of these"):
        run_evaluate_annotator("edu", judged, str(tmp_path), head="llama")
    few = write(tmp_path / "few.parquet", judged_table(49))
    with pytest.raises(DataError, match=r"few.parquet: found 49 labelled documents, .* judge more documents"):
        run_evaluate_annotator("edu", few, str(tmp_path))
    assert not (tmp_path / "evaluation.json").exists()
