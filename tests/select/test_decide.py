"""Decisions of a run: those of a slow rule, with the sums that the summary tells, and none where a wish is refused."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl_handed import decisions, handed
from crawl_made import HEADS, make, wish
from slow_rules import kept_slowly, passes_slowly, sums

from jql.errors import DataError, IncompleteError, RecipeError
from jql.report.summary import add_decisions
from jql.schema import DECISION
from jql.select.rehydrate import learn_repeats

COUNTS = {"deu_Latn": 300, "swe_Latn": 200, "isl_Latn": 12}


@pytest.fixture(scope="module")
def crawl():
    return make(COUNTS, seed=11, copies=0.4, largest=20, held=0.15, lost=0.05, filtered=0.2)


@pytest.fixture(scope="module")
def given(crawl, tmp_path_factory):
    with handed(tmp_path_factory.mktemp("decide"), crawl) as found:
        yield found


def reasons_slowly(crawl, cuts, select):
    """Why each document is dropped, None where it is kept."""
    kept = kept_slowly(crawl, cuts, select)
    voting, found = [crawl.heads.index(head) for head in cuts.heads], []
    for i, reason in enumerate(crawl.reasons(select.by)):
        cut = cuts.languages.get(crawl.languages[i])
        if reason is None and select.by != "heuristics":
            if cut is None or cut.values is None:
                reason = "too_few_documents"
            elif not passes_slowly(crawl.points[i, voting], crawl.languages[i], cuts):
                reason = "below_cut"
        found.append(reason or (None if kept[i] else "duplicate"))
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"by": "both", "copy": "newest", "rule": "mean", "quantile": 0.4},
        {"by": "heuristics", "copy": "longest"},
        {"copy": "first", "rule": "majority", "heads": HEADS[:3], "quantile": 0.5},
        {"copy": "every", "rule": "any", "languages": {"isl_Latn": {"score": 2.0}, "deu_Latn": {"tokens": 2000}}},
    ],
    ids=str,
)
def test_decisions_are_those_of_a_slow_rule_and_their_sums_are_told(crawl, given, settings):
    selected = given.select(**settings)
    select = wish(**settings)
    found = decisions(selected)
    assert found.schema.equals(DECISION)
    wanted = reasons_slowly(crawl, selected.cuts, select)
    assert found.column("reason").to_pylist() == wanted
    assert found.column("keep").to_pylist() == [reason is None for reason in wanted]
    assert found.column("language").to_pylist() == crawl.languages
    assert found.column("repeats").null_count == len(crawl)
    kept = np.array([reason is None for reason in wanted])
    languages = {}
    dropped = add_decisions(selected, languages)
    assert dropped == Counter(reason for reason in wanted if reason)
    for code, (documents, size, tokens) in sums(crawl, kept).items():
        entry, ours = languages[code], crawl.rows_of(code)
        assert [entry["kept"], entry["kept_bytes"], entry["kept_tokens"]] == [documents, size, tokens]
        assert entry["documents"] == int(ours.sum()) == entry["kept"] + sum(entry["dropped"].values())
        doubtful = ours & (crawl.confidence < 0.5)
        assert entry["doubtful"] == {"documents": int(doubtful.sum()), "kept": int((doubtful & kept).sum())}
    # All was drawn, so what was predicted is what came.
    predicted = selected.prediction["languages"]
    assert {code: [entry[m][0] for m in ("documents", "bytes", "tokens")] for code, entry in predicted.items()} == {
        code: entry for code, entry in sums(crawl, kept).items() if code in predicted
    }


def test_a_refused_wish_leaves_no_decisions(crawl, tmp_path):
    (tmp_path / "cuts.json").write_text("{}")
    with handed(tmp_path, crawl) as given:
        for settings, message in (
            ({"languages": {"deu_Latn": {"tokens": 10**9}}}, "1,000,000,000 wanted, but only"),
            ({"languages": {"nno_Latn": {"score": 1.0}}}, "the run has no documents of it"),
            ({"mixture": {"tokens": 10**9, "alpha": 0.5}}, r"select\.mixture: \w+ is to give"),
            ({"heads": ["bert"]}, r"select\.heads: the annotator has no head 'bert'; it has edu, web"),
            ({"cuts": str(tmp_path / "cuts.json")}, r"cuts\.json: not a cuts\.json of jql"),
            ({"where": "score_bert > 1"}, r"select\.where: no column 'score_bert'"),
        ):
            with pytest.raises((RecipeError, DataError), match=message):
                given.select(**settings)
            assert not (tmp_path / "run" / "select" / "decisions").exists()
            assert not (tmp_path / "run" / "select" / "candidates").exists()
        assert given.select().decisions  # and the same folder serves for what can be


def test_a_head_that_half_of_the_units_lack_is_named_before_anything_is_cut(crawl, tmp_path):
    with handed(tmp_path, crawl) as given:
        receipt = list(given.scores.receipts())[1]
        path = given.scores.path(receipt, "aside/counts")
        table = pq.read_table(path)
        pq.write_table(table.filter(pa.compute.not_equal(table.column("head"), "web")), path)
        with pytest.raises(
            IncompleteError, match=r"counts of the heads edu, llama3, llama31, expected edu, web.*; its unit"
        ):
            given.select()
        assert not (tmp_path / "run" / "select" / "decisions").exists()


def test_scores_of_all_equal_values_are_all_kept_and_the_cut_says_so(tmp_path):
    crawl = make({"deu_Latn": 40, "swe_Latn": 40}, seed=2)
    crawl = replace(crawl, points=np.where(crawl.rows_of("deu_Latn")[:, None], np.float32(2.5), crawl.points))
    with handed(tmp_path, crawl, units=2) as given:
        for rule in ("all", "mean"):
            selected = given.select(rule=rule, quantile=0.8)
            kept = decisions(selected).column("keep").to_numpy()
            assert kept[crawl.rows_of("deu_Latn")].all() and not kept[crawl.rows_of("swe_Latn")].all()
            assert "all 40 scores lie in one bin" in selected.cuts.to_json()["languages"]["deu_Latn"]["note"]


def test_repeats_are_learnt_from_what_is_dropped_at_each_size_and_stand_with_what_is_kept(tmp_path):
    crawl = make({"deu_Latn": 6500, "swe_Latn": 300}, seed=12, copies=0.5)
    better = np.where(crawl.size > 1, 0.8, 0.0).astype(np.float32)
    crawl = replace(crawl, points=crawl.points + better[:, None])
    with handed(tmp_path, crawl) as given:
        selected = given.select(rehydrate=4, heads=["edu"], quantile=0.6)
        found = decisions(selected)
    select = wish(heads=["edu"], quantile=0.6)
    every = kept_slowly(crawl, selected.cuts, select.model_copy(update={"copy_kept": "every"}))
    for code in COUNTS.keys() - {"isl_Latn"}:
        rows = crawl.rows_of(code) & crawl.first
        documents, dropped = Counter(crawl.size[rows].tolist()), Counter(crawl.size[rows & ~every].tolist())
        wanted = learn_repeats(documents, dropped, 4)
        assert selected.repeats[code] == wanted
    assert selected.repeats["deu_Latn"].steps and not selected.repeats["swe_Latn"].steps  # too few to learn from
    kept = found.column("keep").to_numpy()
    repeats = found.column("repeats").to_pylist()
    assert [times is not None for times in repeats] == kept.tolist()
    expected = np.where(crawl.rows_of("deu_Latn"), selected.repeats["deu_Latn"].of(crawl.size), 1)
    assert [repeats[row] for row in np.flatnonzero(kept)] == expected[kept].tolist()
    assert max(repeats[row] for row in np.flatnonzero(kept)) > 1


def test_changed_means_do_not_decide_anew(crawl, given):
    first = given.select(quantile=0.5)
    assert (
        given.select(quantile=0.5, groups={"north": ["swe_Latn", "isl_Latn"]}).decisions.folder
        == first.decisions.folder
    )
    assert given.select(quantile=0.55).decisions.folder != first.decisions.folder


def test_repeats_may_be_learnt_from_the_sizes_that_documents_come_with(tmp_path):
    crawl = make({"deu_Latn": 3000}, seed=13)
    size = np.random.default_rng(0).choice([1, 2, 9], len(crawl), p=[0.5, 0.25, 0.25])
    crawl = replace(crawl, size=size, points=crawl.points + np.float32(0.8) * (size > 1)[:, None].astype(np.float32))
    with handed(tmp_path, crawl, clusters=False) as given:
        selected = given.select(rehydrate=3, heads=["edu"], quantile=0.6)
        found = decisions(selected)
    kept = found.column("keep").to_numpy()
    wanted = learn_repeats(Counter(size.tolist()), Counter(size[~kept].tolist()), 3)
    assert selected.repeats == {"deu_Latn": wanted} and wanted.steps
    repeats = found.column("repeats").to_pylist()
    assert [repeats[row] for row in np.flatnonzero(kept)] == wanted.of(size[kept]).tolist()
    assert all(repeats[row] is None for row in np.flatnonzero(~kept))


def test_nothing_can_be_learnt_where_no_document_has_a_copy(tmp_path):
    with handed(tmp_path, make({"deu_Latn": 60}), units=1, clusters=False) as given:
        with pytest.raises(RecipeError, match=r"select\.rehydrate: no document has a near-duplicate that is known of"):
            given.select(rehydrate=3)
    assert not (tmp_path / "run" / "select" / "decisions").exists()
