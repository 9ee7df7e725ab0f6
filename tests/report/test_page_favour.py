"""What the filter favours: shares with intervals that hold, each document counted once, against its own language."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_help import DOCUMENTS, Made, make_outlook, write_documents

from jql.report.favour import Base, base_of, by_date, by_domain, by_length, decided, favours, share_interval
from jql.report.heads_agree import heads_agree, over_languages, with_fisher


@pytest.fixture(scope="module")
def outlook(tmp_path_factory):
    made = Made()
    return make_outlook(made, write_documents(tmp_path_factory.mktemp("favour"), made))


@given(st.lists(st.tuples(st.booleans(), st.floats(0.001, 1)), min_size=1, max_size=50))
def test_an_interval_holds_its_share(pairs):
    kept, rate = np.array([k for k, _ in pairs]), np.array([r for _, r in pairs])
    value, low, high = share_interval(kept, rate)
    assert 0 <= low <= value <= high <= 1


def test_the_interval_is_wilsons_for_a_plain_draw_and_a_point_where_all_was_drawn():
    kept = np.arange(100) < 30
    assert share_interval(kept, np.full(100, 1e-9)) == pytest.approx((0.3, 0.2189, 0.3958), abs=1e-4)
    assert share_interval(kept, np.ones(100)) == (0.3, 0.3, 0.3)


def test_intervals_over_languages_of_different_rates_cover():
    random = np.random.default_rng(0)
    language = np.repeat([0, 1, 2], [3000, 1000, 300])
    rate, share = np.array([0.02, 0.1, 0.5])[language], np.array([0.2, 0.5, 0.8])[language]
    hits = 0
    for _ in range(600):
        kept = random.random(len(language)) < share
        drawn = random.random(len(language)) < rate
        _, low, high = share_interval(kept[drawn], rate[drawn])
        hits += low <= kept.mean() <= high
    assert 0.92 <= hits / 600 <= 0.98


def test_one_of_each_cluster_is_looked_at_a_kept_one_first(outlook):
    clusters = outlook.sample.column("cluster").to_numpy()
    kept = np.zeros(len(clusters), bool)
    copies = [
        row
        for row in range(1, len(clusters))
        if clusters[row] == clusters[row - 1] and outlook.open[row - 1 : row + 1].all()
    ]
    kept[copies[:5]] = True
    rows = decided(outlook, kept)
    assert len(set(clusters[rows].tolist())) == len(rows)
    assert set(copies[:5]) <= set(rows.tolist()) and not set(copies[5:]) & set(rows.tolist())
    assert outlook.open[rows].all()


def test_what_a_cascade_held_back_counts_as_dropped(tmp_path):
    made = Made(reason="cascade")
    outlook = make_outlook(made, write_documents(tmp_path, made))
    assert not outlook.open[decided(outlook, np.zeros(len(outlook.codes), bool))].all()


def test_tenths_are_of_each_language_and_hold_every_document_once(outlook):
    longest = outlook.sample.column("tokens").to_numpy() > 100
    base = base_of(outlook, longest & outlook.open)
    for chosen in (base.codes_N >= 0, base.language("arb_Arab")):
        tenths = by_length(base, chosen)
        assert sum(tenth["sample"] for tenth in tenths) == chosen.sum()
        assert tenths[0]["value"] < tenths[0]["expected"] and tenths[-1]["value"] > tenths[-1]["expected"]
    assert [tenth["span"] == "" for tenth in by_length(base, base.codes_N >= 0)] == [True] * len(
        by_length(base, base.codes_N >= 0)
    )


def test_all_together_keeps_what_is_expected(outlook):
    base = base_of(outlook, outlook.open & (outlook.points[:, 0] > 2))
    for code in DOCUMENTS:
        dates = by_date(base, base.language(code))
        weights = [entry["documents"] for entry in dates]
        share = np.average([entry["value"] for entry in dates], weights=weights)
        assert share == pytest.approx(dates[0]["expected"], abs=1e-4)
    assert favours(base, base.language("nobody")) == {}


def made_base(months, domains, kept=None):
    n = len(months)
    kept = np.zeros(n, bool) if kept is None else kept
    zeros = np.zeros(n, np.int64)
    words = (np.array(values, object) for values in (months, domains))
    return Base(["deu_Latn"], zeros, zeros, kept, np.full(n, 0.5), np.full(n, kept.mean()), zeros, *words)


def test_many_months_become_years_and_one_is_nothing_to_compare():
    months = [f"{2010 + i // 12}-{1 + i % 12:02d}" for i in range(36)]
    everything = np.ones(36, bool)
    assert [entry["label"] for entry in by_date(made_base(months, [None] * 36), everything)] == ["2010", "2011", "2012"]
    assert len(by_date(made_base(["2020-01", "2020-02"] * 18, [None] * 36), everything)) == 2
    assert by_date(made_base(["2020-01", None] * 18, [None] * 36), everything) == []


def test_domains_of_few_documents_are_left_out():
    domains = ["big.example"] * 20 + ["small.example"] * 4 + [None] * 10 + ["<b>x</b>"] * 6
    found = by_domain(made_base(["2020-01"] * 40, domains, np.arange(40) < 20), np.ones(40, bool))
    assert [(entry["label"], entry["documents"], entry["value"]) for entry in found] == [
        ("big.example", 40.0, 1.0),
        ("<b>x</b>", 12.0, 0.0),
    ]
    assert found[1]["high"] < found[1]["expected"]


def test_heads_that_are_one_agree_and_a_constant_one_has_no_figure(outlook):
    outlook.points[:, 1] = outlook.points[:, 0]
    outlook.points[:, 2] = np.where(np.isfinite(outlook.points[:, 2]), 1.0, np.nan)
    found = heads_agree(outlook, ["web", "llama3", "edu"])
    assert set(found) == {"deu_Latn", "arb_Arab", "tha_Thai"}  # swe_Latn has too few
    by_pair = {tuple(pair["heads"]): pair["value"] for pair in found["deu_Latn"]}
    assert by_pair == {("web", "llama3"): pytest.approx(1.0), ("web", "edu"): None, ("llama3", "edu"): None}
    assert [pair["heads"] for pair in over_languages(found)] == [["web", "llama3"]]


def test_the_interval_of_a_correlation():
    found = with_fisher(0.5, 103)
    assert (found["low"], found["high"]) == (pytest.approx(0.32875, abs=1e-4), pytest.approx(0.6394, abs=1e-4))
