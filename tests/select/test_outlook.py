"""What a sample says of a wish: the truth itself where all was drawn, and around it where a part was."""

from dataclasses import replace

import numpy as np
import pytest
from crawl_handed import decisions, handed
from crawl_made import HEADS, make, wish
from slow_rules import kept_slowly, sums

from jql.errors import InputError
from jql.select.outlook import Outlook

COUNTS = {"deu_Latn": 260, "swe_Latn": 160, "isl_Latn": 12}
MEASURES = ("documents", "bytes", "tokens")
RULES = ["all", "any", "majority", "mean"]


@pytest.fixture(scope="module")
def crawl():
    return make(COUNTS, seed=1, copies=0.4, largest=30, held=0.2, lost=0.05, filtered=0.2)


def predicted(outlook, select, cuts=None):
    found = outlook.predict(select, cuts or outlook.cuts(select))
    return found, {code: [entry[m] for m in MEASURES] for code, entry in found["languages"].items()}


@pytest.mark.parametrize("by", ["annotator", "heuristics", "both"])
@pytest.mark.parametrize("copy", ["best", "longest", "newest", "first", "every"])
def test_where_all_is_drawn_the_prediction_is_the_truth(crawl, copy, by):
    outlook = crawl.outlook(by=by)
    for rule in RULES:
        select = wish(
            quantile=0.6, rule=rule, copy=copy, by=by, heads=HEADS[:3], languages={"swe_Latn": {"score": 2.2}}
        )
        cuts = outlook.cuts(select)
        kept = kept_slowly(crawl, cuts, select)
        assert (outlook.kept(select, cuts) == kept).all()
        found, values = predicted(outlook, select, cuts)
        truth = sums(crawl, kept)
        assert {code: [m[0] for m in entry] for code, entry in values.items()} == truth
        assert all(value == low == high for entry in values.values() for value, low, high in entry)
        assert [found["total"][m][0] for m in MEASURES] == np.sum(list(truth.values()), axis=0).tolist()


def test_all_of_four_heads_keeps_less_than_each_and_the_prediction_says_so(crawl):
    outlook = crawl.outlook()
    found, values = predicted(outlook, wish(quantile=0.5, copy="every"))
    entry = found["languages"]["deu_Latn"]
    assert entry["nominal"] == 0.5
    one, alone = predicted(outlook, wish(quantile=0.5, copy="every", heads=["edu"]))
    assert values["deu_Latn"][0][0] < alone["deu_Latn"][0][0]
    assert one["languages"]["deu_Latn"]["rate"] == 1.0 and one["languages"]["deu_Latn"]["sample"] == 260
    assert one["languages"]["isl_Latn"]["nominal"] is None and alone["isl_Latn"][0] == [0, 0, 0]


LARGE = make({"deu_Latn": 9000}, seed=2, copies=0.3, largest=60, held=0.25, lost=0.05, filtered=0.2, heads=HEADS[:2])


@pytest.mark.parametrize(("by", "copy"), [("annotator", "best"), ("both", "best"), ("heuristics", "every")])
def test_a_part_that_is_drawn_says_the_truth_in_the_mean_and_within_its_intervals(by, copy):
    select = wish(quantile=0.6, by=by, copy=copy)
    whole = LARGE.outlook(by=by)
    cuts = whole.cuts(select)
    truth = sums(LARGE, whole.kept(select, cuts))["deu_Latn"]
    table = LARGE.sample(by)
    found = []
    for seed in range(100):
        outlook = LARGE.outlook(0.1, seed, by, table)
        entry = outlook.predict(select, outlook.cuts(select))["languages"]["deu_Latn"]
        found.append([entry[m] for m in MEASURES])
        assert entry["rate"] == 0.1
    values = np.array(found)
    for m in range(3):
        estimates = values[:, m, 0]
        assert abs(estimates.mean() - truth[m]) < 3 * estimates.std() / 10
        covered = ((values[:, m, 1] <= truth[m]) & (truth[m] <= values[:, m, 2])).mean()
        assert covered >= 0.88  # of 100 draws, 0.95 give or take 0.04, and 0.03 for the few in the stratum of the cut


def test_languages_are_told_apart_and_may_be_asked_for_singly(crawl):
    outlook = crawl.outlook({"deu_Latn": 0.5, "swe_Latn": 1.0, "isl_Latn": 0.2})
    select = wish(quantile=0.3)
    found = outlook.predict(select, outlook.cuts(select))
    alone = outlook.predict(select, outlook.cuts(select), ["swe_Latn"])
    assert alone["languages"] == {"swe_Latn": found["languages"]["swe_Latn"]}
    assert alone["total"] == {m: alone["languages"]["swe_Latn"][m] for m in MEASURES}
    low, high = found["languages"]["deu_Latn"]["documents"][1:]
    assert low < high and found["languages"]["deu_Latn"]["rate"] == 0.5
    absent = outlook.predict(select, outlook.cuts(select), ["fra_Latn"])["languages"]["fra_Latn"]
    assert absent["documents"] == [0, 0, 0] and absent["sample"] == 0


def test_tokens_are_those_of_the_tokenizer_that_was_asked_for(crawl):
    select = wish(quantile=0.3)
    plain = crawl.outlook(0.5)
    other = Outlook(plain.histograms, plain.sample, plain.annotator, {"deu_Latn": 2.0})
    first, second = (o.predict(select, o.cuts(select))["languages"] for o in (plain, other))
    assert second["deu_Latn"]["tokens"] == pytest.approx([2 * n for n in first["deu_Latn"]["tokens"]], abs=1)
    assert second["swe_Latn"] == first["swe_Latn"]
    assert second["deu_Latn"]["documents"] == first["deu_Latn"]["documents"]


def test_what_a_run_leaves_says_the_same(crawl, tmp_path):
    outlook = replace_rates(crawl.outlook(0.5), {"deu_Latn": 1.5})
    select = wish(quantile=0.6)
    outlook.save(str(tmp_path), outlook.kept(select, outlook.cuts(select)))
    found = Outlook.of_run(str(tmp_path))
    assert found.sample.equals(outlook.sample)
    assert found.annotator == outlook.annotator and found.rates == outlook.rates
    assert found.cuts(select).to_json() == outlook.cuts(select).to_json()
    assert found.predict(select, found.cuts(select)) == outlook.predict(select, outlook.cuts(select))
    with pytest.raises(InputError, match=r"histograms\.parquet: not there; run `jql select .*nowhere` first"):
        Outlook.of_run(str(tmp_path / "nowhere"))


def replace_rates(outlook, rates):
    return Outlook(outlook.histograms, outlook.sample, outlook.annotator, rates)


def test_a_crawl_without_a_score_has_an_empty_outlook():
    crawl = make({"deu_Latn": 30}, lost=1.0)
    outlook = crawl.outlook()
    assert outlook.histograms.counts == {}
    nothing = Outlook(outlook.histograms, outlook.sample.slice(0, 0), outlook.annotator)
    assert nothing.cuts(wish()).languages == {}
    assert nothing.predict(wish(), nothing.cuts(wish()))["total"]["documents"] == [0, 0, 0]


def test_an_id_that_comes_again_without_clusters_is_counted_as_the_run_keeps_it(tmp_path):
    """In a unit, the second is dropped; in another unit it is not known to be one."""
    crawl = make({"deu_Latn": 120})
    ids = [*crawl.ids[:100], *crawl.ids[:10], *crawl.ids[30:40]]  # units of 40: the first ten of these are in the third
    ids[45:50] = ids[40:45]
    again = replace(crawl, ids=ids)
    with handed(tmp_path, again, units=3, clusters=False) as given:
        selected = given.select(quantile=0.5, heads=["edu"])
        kept = decisions(selected).column("keep").to_pylist()
        assert selected.prediction["total"]["documents"][0] == sum(kept)
        assert decisions(selected).column("reason").to_pylist()[45:50] == ["duplicate_id"] * 5
