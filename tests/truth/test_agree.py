"""Agreement of a file or a run of ratings: what is read, counted, split, written and shown."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SHARED, needs_shared
from rich.console import Console

from jql.agreement.figures import Settings
from jql.agreement.rater_figures import FIGURES, rater_agreement
from jql.errors import DataError, InputError
from jql.schema import RATING
from jql.truth.agree import agreement_matrix, run_agree, skips, work_of_raters

NAMES = ["Ada", "Ben [x]", "Cem"]


def rows(documents=60, seed=0, **more):
    """Ratings of three raters: half German, half French; Cem rates every second document."""
    generator = np.random.default_rng(seed)
    found = []
    for n in range(documents):
        quality, language = generator.uniform(0, 5), "deu_Latn" if n < documents // 2 else "fra_Latn"
        for rater in NAMES if n % 2 else NAMES[:2]:
            score = float(np.clip(round(quality + generator.normal(0, 0.8)), 0, 5))
            row = {"id": f"d{n:03}", "rater": rater, "score": score, "reason": None, "language": language}
            found.append({**row, "seconds": 10.0 + n % 3, "guideline": "v1", "origin": "synthetic", **more})
    return found


def skip(rater, reason, id="d000", language="deu_Latn"):
    return {"id": id, "rater": rater, "score": None, "reason": reason, "language": language, "origin": "synthetic"}


def table(found):
    return pa.Table.from_pylist([{name: row.get(name) for name in RATING.names} for row in found], RATING)


def written(folder, found):
    path = folder / "ratings.parquet"
    pq.write_table(table(found), path)
    return str(path)


def run(path, **options):
    stream = io.StringIO()
    result = run_agree(
        path, resamples=options.pop("resamples", 100), console=Console(file=stream, width=250), **options
    )
    return result, stream.getvalue()


def test_a_table_becomes_a_matrix():
    found = [*rows(4)[:2], {**rows(4)[4], "score": 2.5}, skip("Dia", "other: too long", "d001")]
    ratings, raters, ids, languages = agreement_matrix(table(found[::-1]))
    assert raters == ["Ada", "Ben [x]", "Cem", "Dia"] and ids == ["d000", "d001"]
    assert np.isnan(ratings).tolist() == [[False, True], [False, True], [True, False], [True, True]]
    assert ratings[2, 1] == 2.5 and languages == ["deu_Latn", "deu_Latn"]


def test_a_table_that_is_no_matrix_is_refused():
    with pytest.raises(DataError, match="Ada rated document d000 twice"):
        agreement_matrix(table([rows(2)[0]] * 2))
    with pytest.raises(DataError, match="document d000 is both deu_Latn and fra_Latn"):
        agreement_matrix(table([rows(2)[0], {**rows(2)[1], "language": "fra_Latn"}]))


def test_skips_and_times_of_each_rater():
    found = [
        *rows(2)[:2],
        {**rows(2)[2], "seconds": 30.0},
        skip("Ada", "other: my own words", "d002"),
        skip("Ada", "offensive", "d003"),
        {**skip("Dia", None), "seconds": 5.0},
    ]
    assert skips(table(found)) == {"other": 1, "offensive": 1, "no reason": 1}
    work = work_of_raters(table(found))
    assert work["Ada"] == {"skipped": {"other": 1, "offensive": 1}, "median_seconds": 20.0}
    assert work["Dia"] == {"skipped": {"no reason": 1}, "median_seconds": None}


def test_the_result_is_written_and_shown(tmp_path):
    path = written(tmp_path, [*rows(), skip("Dia", "other: my words", "d001"), skip("Dia", "offensive", "d003")])
    result, text = run(path, out=str(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "agreement.json").read_text()) == result
    assert result["origin"] == {"synthetic": 152} and "origin: synthetic 152" in text
    assert result["guidelines"] == {"v1": 150} and "several versions" not in text  # a skip has no version
    assert result["skipped"] == {"other": 1, "offensive": 1} and "skipped: other 1, offensive 1" in text
    assert "my words" not in text and "my words" not in json.dumps(result)
    assert all(words in text for words in FIGURES.values())
    entry = result["overall"]["figures"]["alpha_ordinal"]
    assert f"{entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]" in text
    assert "Ada and Ben [x]" in text and "one rater against 1.5 others" in text
    assert result["raters"]["Cem"]["common"] == 30 and result["raters"]["Dia"]["ratings"] == 0
    assert "0 documents in common with others, 5 are needed: Dia, offset; Dia, spearman" in text


def test_figures_are_those_of_the_matrix_and_by_language(tmp_path):
    found = rows()
    result, text = run(written(tmp_path, found))
    ratings, _, ids, languages = agreement_matrix(table(found))
    expected = rater_agreement(ratings, Settings(resamples=100), ids)
    assert result["overall"]["figures"] == expected["figures"]
    assert result["overall"]["pairs"][0]["raters"] == ["Ada", "Ben [x]"]
    german = np.array(languages) == "deu_Latn"
    alone = rater_agreement(ratings[:, german], Settings(resamples=100), ids[:30])
    assert result["languages"]["deu_Latn"]["figures"] == alone["figures"]
    assert list(result["languages"]) == ["deu_Latn", "fra_Latn"] and not result["languages_left_out"]
    assert "deu_Latn" in text and not list(tmp_path.glob("**/agreement.json"))


def test_the_order_of_rows_is_no_matter(tmp_path):
    found = rows()
    result, _ = run(written(tmp_path, found))
    (tmp_path / "again").mkdir()
    moved, _ = run(written(tmp_path / "again", found[::-1]))
    assert {**moved, "path": None} == {**result, "path": None}


def test_small_languages_are_left_out_with_the_reason(tmp_path):
    result, text = run(written(tmp_path, rows(30)))
    assert result["languages"] == {} and "left out: 15 documents rated twice, 20 are needed: deu_Latn; fra_Latn" in text


def test_versions_of_the_guideline_have_their_own_figures(tmp_path):
    found = rows()
    for row in found[:75]:
        row["guideline"] = "v0"
    result, text = run(written(tmp_path, found))
    assert result["guidelines"] == {"v0": 75, "v1": 75} and "guideline: v0 75, v1 75" in text
    assert {v: g["rated_twice"] for v, g in result["by_guideline"].items()} == {"v0": 30, "v1": 30}
    assert "by version of the guideline" in text and "several versions" in text
    for row in found[75:]:
        row["guideline"] = None if row["id"] > "d055" else "v0"
    few, text = run(written(tmp_path, found))
    assert few["guidelines"] == {"none given": 10, "v0": 140} and few["by_guideline"] == {}
    assert "several versions" in text


def label_run(folder, pilot):
    """A run folder of the rating page, rated by two."""
    from jql.truth.label.store import Event, Store

    documents = [
        {
            "id": f"d{n:03}",
            "text": f"Made-up text {n}.",
            "source": f"d{n:03}",
            "language": "deu_Latn",
            "pilot": n < pilot,
        }
        for n in range(50)
    ]
    pq.write_table(pa.Table.from_pylist(documents), folder / "documents.parquet")
    store = Store(str(folder))
    for row in rows(50):
        if row["rater"] != "Cem":
            event = Event(row["rater"], row["id"], "rated", int(row["score"]), None, 5.0, "v1")
            store.ratings.append(event, store.ratings.last(row["rater"]))
    store.close()
    return str(folder)


def test_a_run_of_the_rating_page_has_its_pilot_apart(tmp_path):
    result, text = run(label_run(tmp_path, 20))
    assert result["origin"] == {"human": 100} and result["guidelines"] == {"v1": 100}
    assert {part: group["rated_twice"] for part, group in result["by_part"].items()} == {"pilot": 20, "rest": 30}
    assert "ratings: 40" in text and "ratings: 60" in text and "rated twice: 30 of 30 documents" in text
    assert result["overall"]["rated_twice"] == 50


def test_a_small_pilot_has_its_figures_and_the_reasons_for_what_it_has_not(tmp_path):
    result, text = run(label_run(tmp_path, 3))
    assert {part: group["rated_twice"] for part, group in result["by_part"].items()} == {"pilot": 3, "rest": 47}
    assert result["by_part"]["pilot"]["figures"]["raw_agreement"]["value"] is not None
    assert "pilot: no pair of raters has 5 documents in common" in text


def test_where_all_is_pilot_there_are_no_parts(tmp_path):
    assert run(label_run(tmp_path, 50))[0]["by_part"] == {}


def test_one_rater_or_nobody_in_common_is_said(tmp_path):
    lone, text = run(written(tmp_path, [row for row in rows() if row["rater"] == "Ada"]))
    assert "found 1 rater with ratings, expected at least 2: Krippendorff's alpha, ordinal;" in text
    assert all(entry["value"] is None for entry in lone["overall"]["figures"].values())
    apart = [row for row in rows() if row["rater"] == ("Ada" if row["id"] < "d030" else "Cem")]
    _, text = run(written(tmp_path, apart))
    assert "no document was rated by two raters" in text and "by pair" not in text


def test_one_document_has_no_intervals(tmp_path):
    result, text = run(written(tmp_path, rows(2)[2:]))
    assert "one source document, an interval needs 2" in text and result["overall"]["rated_twice"] == 1


def test_ratings_without_a_score_are_refused(tmp_path):
    path = written(tmp_path, [skip("Ada", "offensive"), skip("Ben", "other: no")])
    with pytest.raises(
        DataError, match=r"none of 2 ratings has a score \(offensive 1, other 1\); rate documents first"
    ):
        run(path)


def test_scores_outside_of_the_rubric_are_refused_and_wide_ones_are_taken_without_one(tmp_path):
    found = rows()
    found[3]["score"] = 9.0
    path = written(tmp_path, found)
    assert run(path)[0]["overall"]["figures"]["alpha_interval"]["value"] < 1
    with pytest.raises(InputError, match="score is 9, expected 0 to 5"):
        run(path, rubric="educational")


@needs_shared
@pytest.mark.parametrize("file", ["educational_60x3", "educational_38x8"])
def test_real_ratings_are_read(file):
    result, text = run(str(SHARED / "ratings" / f"{file}.parquet"), origin="model")
    documents, raters = (int(n) for n in file.split("_")[1].split("x"))
    assert (result["overall"]["rated_twice"], result["overall"]["raters"]) == (documents, raters)
    assert result["origin"] == {"model": documents * raters} and "origin: model" in text
    assert 0 < result["overall"]["ceiling"]["mean"]["value"] < 1
