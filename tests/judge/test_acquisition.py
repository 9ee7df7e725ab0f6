"""How much a label is wanted, and choice within a budget: by hand, shares, order, identical texts."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jql.errors import DataError, RecipeError
from jql.judge.acquisition import choose, disagreement, random_order, within_language_ranks


def codes(text):
    return np.array(text.split(), object)


def test_ranks_by_hand():
    ranks = within_language_ranks(np.array([3.0, 1.0, 1.0, 9.0, 5.0]), codes("a a a b c"))
    assert ranks == pytest.approx([2.5 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2])


def test_disagreement_by_hand():
    # Ranks in language a are 1/6, 3/6, 5/6; the first head orders 1 2 3, the second 1 3 2. Language b has one order.
    scores = np.array([[0.0, 1.0], [1.0, 4.0], [2.0, 3.0], [0.0, 5.0], [5.0, 9.0]])
    assert disagreement(scores, codes("a a a b b")) == pytest.approx([0, 1 / 6, 1 / 6, 0, 0])


tables = st.integers(2, 4).flatmap(
    lambda heads: st.lists(
        st.tuples(st.sampled_from("abc"), st.lists(st.integers(0, 20), min_size=heads, max_size=heads)), min_size=1
    )
)


@settings(max_examples=40)
@given(tables, st.data())
def test_offsets_and_scales_of_a_judge_do_not_count(rows, data):
    languages = np.array([code for code, _ in rows], object)
    scores = np.array([values for _, values in rows], float)
    found = disagreement(scores, languages)
    assert (found >= 0).all() and (found < 0.5).all()
    moved = scores.copy()
    for head in range(scores.shape[1]):
        for code in "abc":
            offset, scale = data.draw(st.integers(-5, 5)), data.draw(st.sampled_from([0.5, 1, 4]))
            rows_here = languages == code
            moved[rows_here, head] = scores[rows_here, head] * scale + offset
    assert disagreement(moved, languages) == pytest.approx(found)
    assert disagreement(scores[:, ::-1], languages) == pytest.approx(found)
    order = np.array(data.draw(st.permutations(range(len(rows)))))
    assert disagreement(scores[order], languages[order]) == pytest.approx(found[order])


def test_heads_that_agree_or_are_one_do_not_disagree():
    scores = np.arange(12.0).reshape(6, 2)
    assert not disagreement(scores, codes("a a a a b b")).any()
    with pytest.raises(DataError, match="found 1 head, expected two or more; label by random"):
        disagreement(scores[:, :1], codes("a a a a b b"))
    scores[2, 0] = scores[3, 1] = np.nan
    with pytest.raises(DataError, match="2 documents lack a score"):
        disagreement(scores, codes("a a a a b b"))


def test_random_order_depends_on_the_document_and_the_seed_only():
    names = np.arange(1000, dtype=np.uint64)
    drawn = random_order(names, 7)
    assert (random_order(names[::3], 7) == drawn[::3]).all() and (random_order(names, 8) != drawn).all()
    assert 0 <= drawn.min() < 0.01 and 0.99 < drawn.max() < 1 and abs(drawn.mean() - 0.5) < 0.03


def test_choice_by_hand():
    names = np.arange(6, dtype=np.uint64)
    asked = np.array([0.1, 0.9, 0.5, 0.7, 0.2, 0.3])
    found = choose(asked, codes("a a a a b b"), names, names, 4, 0)
    assert found.tolist() == [1, 3, 5, 4]
    same_text = np.array([0, 1, 2, 1, 4, 1], np.uint64)
    assert choose(asked, codes("a a a a b b"), names, same_text, 4, 0).tolist() == [1, 2, 0, 4]
    same_name = np.array([0, 1, 2, 3, 3, 5], np.uint64)
    assert choose(asked, codes("a a a a b b"), same_name, names, 6, 0).tolist() == [1, 3, 2, 0, 5]


documents = st.lists(
    st.tuples(st.sampled_from("aaaabbc"), st.integers(0, 3), st.integers(0, 25)), min_size=1, max_size=60
)


@given(documents, st.integers(1, 70), st.integers(0, 2**40), st.randoms(use_true_random=False))
def test_shares_budget_and_order(rows, budget, seed, random):
    def chosen(rows):
        languages = np.array([code for _, (code, _, _) in rows], object)
        names = np.array([number for number, _ in rows], np.uint64)
        texts = np.array([text for _, (_, _, text) in rows], np.uint64)
        asked = np.array([float(value) for _, (_, value, _) in rows])
        found = choose(asked, languages, names, texts, budget, seed)
        return [rows[i] for i in found]

    numbered = list(enumerate(rows))
    found = chosen(numbered)
    shuffled = numbered.copy()
    random.shuffle(shuffled)
    assert chosen(shuffled) == found
    texts = [text for _, (_, _, text) in found]
    assert len(found) == min(budget, len({text for _, _, text in rows})) and len(set(texts)) == len(texts)
    # A text counts for the language where it is wanted most; what is left of a language there is exhausted.
    everything = choose(
        np.array([float(v) for _, v, _ in rows]),
        np.array([c for c, _, _ in rows], object),
        np.arange(len(rows), dtype=np.uint64),
        np.array([t for _, _, t in rows], np.uint64),
        len(rows),
        seed,
    )
    held = Counter(rows[i][0] for i in everything)
    taken = Counter(code for _, (code, _, _) in found)
    most = max(taken.values())
    assert all(taken[code] >= most - 1 or taken[code] == held[code] for code in held)
    for code in taken:
        values = [value for _, (c, value, _) in found if c == code]
        left = [rows[i][1] for i in everything if rows[i][0] == code and (i, rows[i]) not in found]
        assert values == sorted(values, reverse=True) and max(left, default=0) <= values[-1]


def test_which_language_gets_what_does_not_divide_is_the_seed_s():
    names = np.arange(40, dtype=np.uint64)
    languages = np.repeat(np.array(list("abcd"), object), 10)
    more = {
        languages[i]
        for seed in range(20)
        for i in choose(np.zeros(40), languages, names, names, 5, seed)
        if Counter(languages[choose(np.zeros(40), languages, names, names, 5, seed)].tolist())[languages[i]] == 2
    }
    assert more == set("abcd")


def test_bad_wishes():
    names = np.arange(2, dtype=np.uint64)
    with pytest.raises(RecipeError, match="documents: expected 1 or more, got 0"):
        choose(np.zeros(2), codes("a a"), names, names, 0, 0)
    with pytest.raises(DataError, match="acquisition: 1 are not finite"):
        choose(np.array([0.0, np.nan]), codes("a a"), names, names, 1, 0)
    nothing = np.zeros(0)
    assert len(choose(nothing, nothing.astype(object), nothing.astype(np.uint64), nothing.astype(np.uint64), 3, 0)) == 0
