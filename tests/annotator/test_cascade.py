"""The cascade as stages: what is held back, what is kept all the same, and what it refuses."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jql.annotator.annotator import Annotator
from jql.annotator.calibration import Calibration
from jql.annotator.cascade import is_drawn
from jql.annotator.histogram import Bins, Histograms
from jql.engine.progress import console
from jql.errors import RecipeError
from jql.pipeline import run_recipe
from jql.recipe import make_recipe

LESSON = (
    "Water boils when its vapour pressure equals that of the air , so a cook on a mountain waits longer for an egg ."
)
OFFER = "Buy now ! Free shipping on all orders today only , click here to log in and see our best prices and win ."
LARGE, SMALL = {"eng_Latn": 1500, "deu_Latn": 900}, {"mlt_Latn": 30}


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
    draw = np.random.default_rng(0)
    codes = [code for code, n in {**LARGE, **SMALL}.items() for _ in range(n)]
    draw.shuffle(codes)
    texts = []
    for _ in codes:
        taught, length = draw.random(), draw.integers(5, 80)
        texts.append(
            " ".join(draw.choice((LESSON if draw.random() < taught else OFFER).split()) for _ in range(length))
        )
    texts[7] = None
    table = pa.table({"id": [f"d{i}" for i in range(len(codes))], "text": texts, "language": codes})
    pq.write_table(table, folder / "a.parquet", row_group_size=700)
    return folder


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """An annotator that agrees with `edu`, but not wholly: its heads are disturbed, and it reads other characters."""
    edu, draw = Annotator.load("edu"), np.random.default_rng(1)
    weight = edu.trained.hidden_weight
    heads = replace(
        edu.trained,
        hidden_weight=weight + draw.normal(0, 0.15 * weight.std(), weight.shape).astype(np.float32),
    )
    other = replace(edu, name="big", trained=heads, features=replace(edu.features, chars=2000), golden=())
    folder = tmp_path_factory.mktemp("annotators") / "big"
    other.save(folder)
    return str(folder)


def recipe(documents, run, second, cascade, **parts):
    annotate = {"annotator": second, "cascade": cascade}
    data = {
        "output": str(run),
        "engine": {"backend": "inline"},
        "documents": {"path": str(documents), "unit_rows": 700},
        "stages": ["annotate", "select"],
        "annotate": annotate,
        "select": {"heads": ["edu"], "quantile": 0.6},
        **parts,
    }
    return make_recipe(data)


CASCADE = {"loss": 0.1, "quantile": 0.6, "sample": 600, "heads": ["edu"]}


@pytest.fixture(scope="module")
def runs(documents, second, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    found = run_recipe(recipe(documents, folder / "cascade", second, CASCADE), console(quiet=True))
    whole = run_recipe(recipe(documents, folder / "whole", second, None), console(quiet=True))
    return folder / "cascade", found, folder / "whole", whole


def tables(run, stage):
    return pa.concat_tables([pq.read_table(p) for p in sorted(run.glob(f"{stage}/*/data/*/*.parquet"))])


def test_every_document_has_the_big_score_or_was_held_back_below_the_threshold(runs, documents, second):
    run, found, _, _ = runs
    scores, first = tables(run, "annotate"), tables(run, "annotate/first")
    bounds = found.summary["cascade"]["languages"]
    texts = pq.read_table(documents / "a.parquet").column("text").to_pylist()
    expected = Annotator.load(second).score([t or "" for t in texts])
    sampled = tables(run, "annotate/sample").num_rows
    held, kept_scores = 0, 0
    for i, row in enumerate(scores.to_pylist()):
        before, threshold = first.column("edu")[i].as_py(), bounds[row["language"]]["threshold"]
        if row["reason"] == "cascade":
            assert before < threshold and row["edu"] is None
            held += 1
        elif row["reason"] is None:
            assert all(row[h] == expected[h][i] for h in ("edu", "web"))
            kept_scores += 1
        else:
            assert i == 7 and row["reason"] == "text_null"
    assert held > 300 and held + kept_scores == len(texts) - 1
    assert scores.column("id").to_pylist() == [f"d{i}" for i in range(len(texts))]
    assert 900 < sampled < 1500  # about 600 of each large language, all of the small one


def test_the_loss_is_within_what_was_tolerated_and_as_many_are_kept(runs):
    run, found, whole, _ = runs
    ours, theirs = tables(run, "select/decisions"), tables(whole, "select/decisions")
    for language in LARGE:
        here = np.array(ours.column("language").to_pylist()) == language
        keep, wanted = (np.array(t.column("keep").to_pylist())[here] for t in (ours, theirs))
        assert (wanted & ~keep).sum() <= 0.1 * wanted.sum()
        assert abs(int(keep.sum()) - int(wanted.sum())) <= 2
        bound = found.summary["cascade"]["languages"][language]
        assert bound["loss"] <= 0.1 and bound["saved"] > 0.1


def test_histograms_count_what_was_held_back_as_below_every_score(runs):
    run, _, _, _ = runs
    scores, heads = tables(run, "annotate"), Annotator.load("edu").heads
    assert [v is None for v in scores.column("tokens").to_pylist()] == [i == 7 for i in range(scores.num_rows)]
    counts = [pq.read_table(path) for path in sorted(run.glob("annotate/*/data/aside/counts/*/*.parquet"))]
    found = Histograms.of_table(pa.concat_tables(counts), heads, Bins())
    for language in LARGE | SMALL:
        ours = [row for row in scores.to_pylist() if row["language"] == language and row["reason"] != "text_null"]
        sums = {name: sum(row[name] for row in ours) for name in ("bytes", "tokens")}
        assert found.totals(language) == {"documents": len(ours), **sums}
        held = [row for row in ours if row["reason"] == "cascade"]
        for h in range(len(heads)):
            in_the_first = found.counts[language][:, h, 0].tolist()
            assert in_the_first == [len(held), *(sum(row[name] for row in held) for name in ("bytes", "tokens"))]


def test_a_document_that_an_annotator_has_no_number_for_does_not_end_the_run(documents, tmp_path):
    """Of two annotators each has none for one language; the first's goes on to the second, the second's has no score."""
    nan, edu = [[0.0, 1.0], [float("nan")] * 2], Annotator.load("edu")
    for name, language, chars in (("first", "deu_Latn", 3000), ("second", "mlt_Latn", 2000)):
        calibration, features = Calibration({"edu": {language: nan}}), replace(edu.features, chars=chars)
        replace(edu, name=name, features=features, calibration=calibration, golden=()).save(tmp_path / name)
    table = pq.read_table(documents / "a.parquet").slice(0, 300)
    pq.write_table(table, tmp_path / "a.parquet")
    cascade = {**CASCADE, "annotator": str(tmp_path / "first"), "sample": 100}
    asked = recipe(
        tmp_path / "a.parquet",
        tmp_path / "run",
        str(tmp_path / "second"),
        cascade,
        select={"quantile": 0.6, "heads": ["edu"]},
    )
    found = run_recipe(asked, console(quiet=True))
    first, scores = tables(tmp_path / "run", "annotate/first"), tables(tmp_path / "run", "annotate")
    assert first.num_rows == scores.num_rows == 300
    for row, before in zip(scores.to_pylist(), first.to_pylist(), strict=True):
        if row["reason"] != "text_null":
            assert before["reason"] == ("not_finite" if row["language"] == "deu_Latn" else None)
            assert (row["reason"] == "not_finite") == (row["language"] == "mlt_Latn")
            assert row["language"] != "deu_Latn" or row["reason"] is None
    sampled = tables(tmp_path / "run", "annotate/sample")
    assert sampled.num_rows and set(sampled.column("language").to_pylist()) == {"eng_Latn"}
    assert found.summary["cascade"]["languages"].keys() == {"eng_Latn"}


def test_a_language_whose_sample_is_too_small_is_scored_whole(runs):
    run, found, _, _ = runs
    bound = found.summary["cascade"]["languages"]["mlt_Latn"]
    assert bound["threshold"] is None and bound["supports"] > 0.1 and bound["needed"] > 30
    scores = tables(run, "annotate")
    assert not [r for r in scores.to_pylist() if r["language"] == "mlt_Latn" and r["reason"] == "cascade"]


def test_the_same_again_scores_nothing(documents, second, runs):
    run, found, _, _ = runs
    before = {p: p.stat().st_mtime_ns for p in run.glob("annotate/**/*.parquet")}
    again = run_recipe(recipe(documents, run, second, CASCADE), console(quiet=True))
    assert {p: p.stat().st_mtime_ns for p in run.glob("annotate/**/*.parquet")} == before
    assert again.summary["cascade"] == found.summary["cascade"]


def test_a_later_cut_is_told_what_it_may_lose(documents, second, runs):
    run, _, _, _ = runs
    cut = {"heads": ["edu"], "quantile": 0.8}
    found = run_recipe(recipe(documents, run, second, CASCADE, select=cut), console(quiet=True))
    bound = found.summary["cascade"]["languages"]["eng_Latn"]
    assert bound["loss_at_select"] == pytest.approx(0.1 * 0.4 / 0.2)


@pytest.mark.parametrize(
    ("cascade", "select", "message"),
    [
        ({"annotator": "edu", "head": "law"}, {}, r"annotate.cascade.head: edu has no head 'law'; it has edu, web"),
        ({"heads": ["law"]}, {"heads": ["law"]}, r"annotate.cascade.heads: the annotator has no head 'law'"),
        ({}, {"quantile": 0.5}, r"select.quantile: the cascade holds back .* got 0.5; choose a higher one"),
        ({}, {"rule": "any"}, r"select.rule: the cascade was made for all, got any"),
        ({}, {"heads": ["web"]}, r"select.heads: the cascade was made for all heads, got \('web',\)"),
        ({"loss": 0.6}, {}, r"annotate.cascade.loss"),
        ({"losses": 0.1}, {}, r"annotate.cascade.losses: unknown key; did you mean loss\?"),
    ],
)
def test_what_cannot_be_is_refused(documents, second, tmp_path, cascade, select, message):
    with pytest.raises(RecipeError, match=message):
        run_recipe(recipe(documents, tmp_path / "run", second, cascade, select=select), console(quiet=True))


def test_a_cascade_of_one_annotator_is_refused(documents, second, tmp_path):
    with pytest.raises(RecipeError, match=r"annotate.cascade.annotator: .*big is annotate.annotator itself"):
        run_recipe(recipe(documents, tmp_path / "run", second, {"annotator": second}, select={}), console(quiet=True))


def test_drawing_is_by_id_and_seed():
    ids = [f"d{i}" for i in range(4000)]
    drawn = [i for i in ids if is_drawn(i, 0, 0.25)]
    assert 900 < len(drawn) < 1100 and drawn == [i for i in ids if is_drawn(i, 0, 0.25)]
    assert drawn != [i for i in ids if is_drawn(i, 1, 0.25)]
    assert not any(is_drawn(i, 0, 0.0) for i in ids) and all(is_drawn(i, 0, 1.0) for i in ids)
