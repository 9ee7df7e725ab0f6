"""From wishes to cuts: budgets that are met, groups that share, cuts of another run, and what is refused and how."""

import numpy as np
import pytest
from crawl_made import HEADS, make, wish
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from slow_rules import kept_slowly, sums

from jql.errors import RecipeError
from jql.select.cuts import Cuts

COUNTS = {"deu_Latn": 500, "hrv_Latn": 250, "srp_Latn": 250, "isl_Latn": 12}
BCMS = ["hrv_Latn", "srp_Latn"]


@pytest.fixture(scope="module")
def crawl():
    return make(COUNTS, seed=3, copies=0.2)


@pytest.fixture(scope="module")
def outlook(crawl):
    return crawl.outlook()


def kept_tokens(crawl, cuts, select):
    return {code: found[2] for code, found in sums(crawl, kept_slowly(crawl, cuts, select)).items()}


def available(outlook, codes, **settings):
    select = wish(quantile=0.0, **settings)
    found = outlook.predict(select, outlook.cuts(select))["languages"]
    return sum(found[code]["tokens"][0] for code in codes)


@pytest.mark.parametrize("rule", ["all", "any", "majority", "mean"])
@pytest.mark.parametrize("copy", ["every", "best", "longest"])
def test_a_budget_is_met_by_the_prediction_and_by_the_truth_within_one_document(crawl, outlook, rule, copy):
    for share in (0.02, 0.4, 0.9):
        tokens = int(share * available(outlook, ["deu_Latn"], copy=copy))
        select = wish(languages={"deu_Latn": {"tokens": tokens}}, rule=rule, copy=copy)
        cuts = outlook.cuts(select)
        truth = kept_tokens(crawl, cuts, select)["deu_Latn"]
        assert outlook.predict(select, cuts)["languages"]["deu_Latn"]["tokens"] == [truth] * 3
        # The means of four ranks meet more often: a handful of documents has the same.
        longest = np.sort(crawl.sizes[2])[-5:].sum() if rule == "mean" else crawl.sizes[2].max()
        assert tokens - longest <= truth <= tokens
        assert cuts.languages["deu_Latn"].by == "tokens" and cuts.languages["hrv_Latn"].by == "quantile"


@hypothesis_settings(max_examples=40)
@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_a_larger_budget_never_has_a_higher_cut(a, b):
    crawl = make({"deu_Latn": 300}, seed=5)
    outlook = crawl.outlook()
    most = int(crawl.sizes[2].sum())
    low, high = (outlook.cuts(wish(languages={"deu_Latn": {"tokens": min(t, most)}})) for t in sorted((a, b)))
    assert (low.languages["deu_Latn"].values >= high.languages["deu_Latn"].values).all()


def test_a_budget_from_a_part_is_met_within_its_interval():
    crawl = make({"deu_Latn": 6000}, seed=4, copies=0.2)
    tokens = int(0.3 * crawl.sizes[2].sum())
    select = wish(languages={"deu_Latn": {"tokens": tokens}})
    inside = 0
    for seed in range(20):
        outlook = crawl.outlook(0.1, seed)
        cuts = outlook.cuts(select)
        value, low, high = outlook.predict(select, cuts)["languages"]["deu_Latn"]["tokens"]
        assert tokens - 10 * crawl.sizes[2].max() <= value <= tokens  # one document that is drawn stands for ten
        whole = crawl.outlook()
        truth = sums(crawl, whole.kept(select, cuts))["deu_Latn"][2]
        inside += low <= truth <= high
    assert inside >= 17


def test_a_budget_above_what_there_is_says_how_much_that_is(crawl, outlook):
    most = available(outlook, ["deu_Latn"])
    all_of_it = outlook.cuts(wish(languages={"deu_Latn": {"tokens": most}}))
    assert all_of_it.languages["deu_Latn"].quantile == 0.0
    with pytest.raises(
        RecipeError, match=rf"select\.languages\.deu_Latn\.tokens: {most + 1:,} wanted, but only {most:,}"
    ):
        outlook.cuts(wish(languages={"deu_Latn": {"tokens": most + 1}}))
    with pytest.raises(RecipeError, match=r"select\.languages\.isl_Latn\.tokens: 5 wanted, but only 0 tokens"):
        outlook.cuts(wish(languages={"isl_Latn": {"tokens": 5}}))


def test_a_mixture_by_weights_gives_each_its_share_and_others_nothing(crawl, outlook):
    select = wish(mixture={"tokens": 10_000, "weights": {"deu_Latn": 0.75, "hrv_Latn": 0.25}}, copy="every")
    cuts = outlook.cuts(select)
    truth = kept_tokens(crawl, cuts, select)
    longest = int(crawl.sizes[2].max())
    assert 7500 - longest <= truth["deu_Latn"] <= 7500 and 2500 - longest <= truth["hrv_Latn"] <= 2500
    assert truth["srp_Latn"] == truth["isl_Latn"] == 0
    assert cuts.languages["srp_Latn"].note == "has no share of the mixture"
    assert cuts.to_json()["languages"]["isl_Latn"]["note"] is None  # it has too few documents, as without a mixture
    assert {cut.by for code, cut in cuts.languages.items() if code != "isl_Latn"} == {"mixture"}


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_a_mixture_by_alpha_is_by_the_powers_of_what_there_is(crawl, outlook, alpha):
    select = wish(mixture={"tokens": 9000, "alpha": alpha}, copy="every")
    truth = kept_tokens(crawl, outlook.cuts(select), select)
    codes = ["deu_Latn", *BCMS]
    powers = np.array([sums(crawl, np.ones(len(crawl), bool))[code][2] for code in codes], float) ** alpha
    for code, wanted in zip(codes, 9000 * powers / powers.sum(), strict=True):
        assert wanted - crawl.sizes[2].max() - 1 <= truth[code] <= wanted + 1
    assert truth["isl_Latn"] == 0


def test_a_language_that_is_too_small_for_its_share_is_seen_more_than_once_or_refused(crawl, outlook):
    most = available(outlook, ["hrv_Latn"], copy="every")
    mixture = {"tokens": 2 * most, "weights": {"deu_Latn": 0.25, "hrv_Latn": 0.75}, "epochs": 2.0}
    select = wish(mixture=mixture, copy="every")
    cuts = outlook.cuts(select)
    assert cuts.languages["hrv_Latn"].note == "to be seen 1.50 times for its share of the mixture"
    assert cuts.languages["hrv_Latn"].quantile == 0.0 and cuts.languages["deu_Latn"].note == ""
    with pytest.raises(RecipeError, match=rf"select\.mixture: hrv_Latn is to give .* tokens, and only {most:,}"):
        outlook.cuts(wish(mixture={**mixture, "epochs": 1.4}, copy="every"))
    with pytest.raises(
        RecipeError, match=r"select\.mixture\.weights: isl_Latn has no tokens that can be kept; remove it"
    ):
        outlook.cuts(wish(mixture={"tokens": 10, "weights": {"deu_Latn": 0.5, "isl_Latn": 0.5}}))
    with pytest.raises(RecipeError, match=r"select\.mixture\.weights: the run has no dan_Latn"):
        outlook.cuts(wish(mixture={"tokens": 10, "weights": {"deu_Latn": 0.5, "dan_Latn": 0.5}}))


@pytest.mark.parametrize("rule", ["all", "any", "majority", "mean"])
def test_a_score_is_the_cut_of_every_head_whatever_it_keeps(crawl, outlook, rule):
    select = wish(languages={"deu_Latn": {"score": 2.5}, "isl_Latn": {"score": 1.0}}, rule=rule, copy="every")
    cuts = outlook.cuts(select)
    assert cuts.languages["deu_Latn"].values.tolist() == [2.5] * 4 and cuts.languages["deu_Latn"].quantile is None
    ours = crawl.rows_of("deu_Latn")
    above = crawl.points[ours] >= 2.5
    expected = {
        "all": above.all(axis=1),
        "any": above.any(axis=1),
        "majority": above.sum(axis=1) > 2,
        "mean": crawl.points[ours].mean(axis=1) >= 2.5,
    }[rule]
    assert outlook.kept(select, cuts)[ours].tolist() == expected.tolist()
    assert cuts.languages["isl_Latn"].values is not None  # a score needs no documents to be found by


def test_overrides_hold_for_their_language_alone(outlook):
    plain = outlook.cuts(wish(quantile=0.6)).languages
    other = outlook.cuts(wish(quantile=0.6, languages={"hrv_Latn": {"quantile": 0.8}})).languages
    assert (other["hrv_Latn"].values > plain["hrv_Latn"].values).all() and other["hrv_Latn"].quantile == 0.8
    assert (other["deu_Latn"].values == plain["deu_Latn"].values).all()
    assert other["isl_Latn"].values is None  # 12 documents
    assert outlook.cuts(wish(quantile=0.6, min_documents=5)).languages["isl_Latn"].values is not None


def test_a_group_shares_one_cut_made_from_all_of_its_documents(crawl, outlook):
    cuts = outlook.cuts(wish(quantile=0.6, shared=["bcms"], heads=["web"]))
    found = [cuts.languages[code] for code in BCMS]
    assert found[0].values == found[1].values and {cut.of for cut in found} == {"bcms"}
    both = crawl.points[(crawl.rows_of("hrv_Latn") | crawl.rows_of("srp_Latn")) & crawl.first, HEADS.index("web")]
    assert (both < found[0].values[0]).mean() == pytest.approx(0.6, abs=0.01)
    assert cuts.to_json()["languages"]["hrv_Latn"]["documents"] == len(both)
    assert cuts.languages["deu_Latn"].of == "deu_Latn"


def test_a_group_may_have_a_budget_or_a_score_of_its_own(crawl, outlook):
    tokens = int(0.3 * available(outlook, BCMS))
    select = wish(shared=["bcms"], languages={"bcms": {"tokens": tokens}})
    cuts = outlook.cuts(select)
    truth = kept_tokens(crawl, cuts, select)
    assert tokens - crawl.sizes[2].max() <= truth["hrv_Latn"] + truth["srp_Latn"] <= tokens
    assert (cuts.languages["hrv_Latn"].values == cuts.languages["srp_Latn"].values).all()
    scored = outlook.cuts(wish(shared=["bcms"], languages={"bcms": {"score": 3.0}})).languages
    assert scored["srp_Latn"].values.tolist() == [3.0] * 4
    with pytest.raises(RecipeError, match=r"select\.languages\.bcms\.tokens: .* wanted, but only"):
        outlook.cuts(wish(shared=["bcms"], languages={"bcms": {"tokens": 100 * tokens}}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"languages": {"hrv_Cyrl": {"score": 1}}}, "unknown language 'hrv_Cyrl'.*did you mean hrv_Latn"),
        ({"languages": {"swe_Latn": {"score": 1}}}, r"select\.languages\.swe_Latn: the run has no documents of it"),
        (
            {"languages": {"bos_Latn": {"score": 1}}},
            r"select\.languages\.bos_Latn: the run has no documents.*; did you mean",
        ),
        ({"languages": {"bcms": {"score": 1}}}, r"select\.languages\.bcms: a group, but not in select\.shared; add it"),
        ({"languages": {"bmcs": {"score": 1}}}, r"select\.languages\.bmcs: no language and no group"),
        (
            {"languages": {"hrv_Latn": {"score": 1}}, "shared": ["bcms"]},
            r"select\.languages\.hrv_Latn: hrv_Latn shares the cut of bcms; name that",
        ),
        ({"shared": ["nordic"]}, r"select\.shared: no group nordic; there are bcms, iberian, scandinavian"),
        (
            {"shared": ["bcms", "south"], "groups": {"south": ["hrv_Latn", "ita_Latn"]}},
            r"select\.shared: hrv_Latn in two groups; a language has one cut",
        ),
        (
            {"mixture": {"tokens": 5, "alpha": 0.5}, "languages": {"deu_Latn": {"score": 1}}},
            r"select\.languages: select\.mixture says where every language is cut; remove one of them",
        ),
        (
            {"mixture": {"tokens": 5, "alpha": 0.5}, "shared": ["bcms"]},
            r"select\.shared: select\.mixture says where every language is cut",
        ),
        (
            {"mixture": {"tokens": 5, "alpha": 0.5}, "cuts": "cuts.json"},
            r"select\.cuts: select\.mixture says where every language is cut",
        ),
        (
            {"cuts": "cuts.json", "languages": {"deu_Latn": {"score": 1}}},
            r"select\.languages: select\.cuts says where every language is cut",
        ),
        (
            {"cuts": "nowhere/cuts.json"},
            r"select\.cuts: nowhere/cuts\.json is not there; name the cuts\.json of another run",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(outlook, settings, message):
    with pytest.raises(RecipeError, match=message):
        outlook.cuts(wish(**settings))


def test_heads_that_vote_are_those_of_the_wish(outlook):
    cuts = outlook.cuts(wish(heads=["web", "edu"]))
    assert isinstance(cuts, Cuts) and cuts.heads == ["web", "edu"]
    assert list(cuts.to_json()["languages"]["deu_Latn"]["cuts"]) == ["web", "edu"]
