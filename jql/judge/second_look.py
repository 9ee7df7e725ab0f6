"""Which judged documents deserve a second look: those where a judge's own answers spread most, within a budget.

What it is worth, on 510 documents with five answers of Llama-3.1-70B (benchmarks/next_label.py): where three answers
differ, 63 % of the documents, their majority is a point or more off the mean of the other two in 23 %; where they are
alike in 10 % (difference .128 [.109, .147]). A label of one answer is so in 55 % where a second one differs, in 27 %
where not. It is the label that is unsure and hardly the document: where two answers differ, a third is off in 27 %,
else in 22 %. So more answers pay there; that people would find these documents hard, it does not show.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from jql.documents import document_name
from jql.judge.acquisition import choose
from jql.judge.next_table import Wish, next_table, read_rows, write_next

COLUMNS = ["id", "source", "language", "text", "reason", "scores", "spread"]


def why_not(row: dict[str, Any], languages: Sequence[str]) -> str | None:
    """Why a JUDGMENT row is no candidate: the judge's reason for no score, other_language or one_answer; else None.

    The spread of one answer is 0 and says nothing, but for a judge whose label probabilities were read.
    """
    if row["reason"] is not None:
        return str(row["reason"])
    if languages and row["language"] not in languages:
        return "other_language"
    answers = [score for score in row["scores"] or () if score is not None]
    return None if row["spread"] or (len(answers) > 1 and row["spread"] is not None) else "one_answer"


def run_second_look(
    judgments: str, out: str, documents: int, languages: Sequence[str] = (), seed: int = 0
) -> dict[str, Any]:
    """Judged documents to judge again or have read, by the spread of the answers, as a NEXT table.

    Args:
        judgments: file or folder of one judge's JUDGMENT tables. out: a Parquet file. languages: none for all.

    Returns:
        As `run_next`.

    Raises:
        RecipeError: an option. InputError: no judgments there, a column missing, a language without documents.
    """
    wish = Wish(out, documents, "spread", languages, seed)
    wish.check(["spread"])
    rows, left_out = [], Counter[str]()
    for row in read_rows(judgments, COLUMNS):
        reason = why_not(row, languages)
        if reason is None:
            rows.append(row)
        else:
            left_out[reason] += 1
    codes_N = np.array([row["language"] for row in rows], object)
    spread_N = np.array([row["spread"] for row in rows], np.float64)
    names_N, texts_N = (np.array([document_name(row[c]) for row in rows], np.uint64) for c in ("id", "text"))
    chosen = choose(spread_N, codes_N, names_N, texts_N, documents, seed)
    table = next_table([rows[i] for i in chosen], spread_N[chosen], "spread")
    return write_next(judgments, wish, table, Counter(codes_N.tolist()), left_out)
