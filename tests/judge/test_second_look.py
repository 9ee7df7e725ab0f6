"""Judged documents for a second look: by the spread of a judge's answers, and which of them are no candidates."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jql.errors import InputError
from jql.judge.next_table import NEXT
from jql.judge.second_look import run_second_look, why_not
from jql.schema import JUDGMENT


def judged(id, scores, spread, language="deu_Latn", reason=None, text=None):
    return {
        "id": id,
        "source": f"source of {id}",
        "language": language,
        "text": text or f"Ein Text über {id}.",
        "score": None if reason else 1.0,
        "reason": reason,
        "scores": scores,
        "kinds": ["ok"] * len(scores),
        "spread": spread,
        "judge": "made up",
        "origin": "synthetic",
    }


ROWS = [
    judged("calm", [2.0, 2.0, 2.0], 0.0),
    judged("torn", [0.0, 4.0, None], 2.0),
    judged("torn again", [0.0, 4.0, None], 2.0, text="Ein Text über torn."),
    judged("unsure", [1.0, 2.0, 2.0], 0.471),
    judged("once", [3.0, None, None], 0.0),
    judged("weighed", [2.4], 1.1),
    judged("refused", [None, None, None], None, reason="no_score"),
    judged("other", [1.0, 3.0, 3.0], 0.94, language="fra_Latn"),
]


@pytest.fixture
def judgments(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS[:4], JUDGMENT), tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pylist(ROWS[4:], JUDGMENT), tmp_path / "b.parquet")
    return str(tmp_path)


def test_the_most_torn_come_first(judgments, tmp_path):
    out = tmp_path / "look" / "next.parquet"
    told = run_second_look(judgments, str(out), 4)
    table = pq.read_table(out)
    assert table.schema.equals(NEXT)
    assert table.column("text")[0].as_py() == "Ein Text über torn."
    assert table.column("id").to_pylist()[1:] == ["weighed", "unsure", "other"]
    assert table.column("acquisition").to_pylist() == [2.0, 1.1, 0.471, 0.94]
    assert table.column("source").to_pylist()[3] == "source of other"
    assert told["left_out"] == {"no_score": 1, "one_answer": 1} and told["by"] == "spread"
    assert told["languages"] == {"deu_Latn": {"held": 5, "chosen": 3}, "fra_Latn": {"held": 1, "chosen": 1}}


def test_why_a_document_is_no_candidate():
    reasons = {row["id"]: why_not(row, ["deu_Latn"]) for row in ROWS}
    assert {id: reason for id, reason in reasons.items() if reason} == {
        "once": "one_answer",
        "refused": "no_score",
        "other": "other_language",
    }
    assert why_not(judged("none", [2.0, 2.0], None), ()) == "one_answer"


def test_bad_judgments(judgments, tmp_path):
    with pytest.raises(InputError, match=r"no document of swe_Latn that can be labelled \(left out: no_score 1, other"):
        run_second_look(judgments, str(tmp_path / "n.parquet"), 3, languages=["swe_Latn"])
    with pytest.raises(InputError, match="no such file or folder"):
        run_second_look(str(tmp_path / "nowhere"), str(tmp_path / "n.parquet"), 3)
    pq.write_table(pa.table({"id": ["a"], "text": ["b"]}), tmp_path / "c.parquet")
    with pytest.raises(InputError, match=r"c.parquet: expected the columns id, source, .*spread"):
        run_second_look(judgments, str(tmp_path / "n.parquet"), 3)
