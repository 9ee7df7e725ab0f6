"""Alternating stars find connected components, whole or in partitions, with the smallest node as centre."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from jql.dedup import stars

graphs = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 8), min_size=n, max_size=n),
        st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=60),
    )
)


def nodes(names):
    found = np.empty(len(names), stars.NODE)
    found["name"], found["gid"] = names, np.arange(len(names))  # names repeat: two documents may share an id
    return found


def in_partitions(step, edges, parts):
    by = edges["u_name"] % np.uint64(parts)
    return np.concatenate([step(edges[by == p]) for p in range(parts)])


def components(edges, parts):
    """The stage's rounds, without the engine: (settled stars, rounds)."""
    edges = stars.unique(edges)
    for number in range(1, 30):
        large = in_partitions(stars.large_star, np.concatenate([edges, stars.reverse(edges)]), parts)
        small = in_partitions(stars.small_star, large, parts)
        if (len(edges), stars.fold(edges)) == (len(small), stars.fold(small)):
            return small, number
        edges = small
    raise AssertionError("did not settle")


@settings(deadline=None, max_examples=200)
@given(graphs, st.integers(1, 4))
def test_components_are_those_of_scipy_with_the_smallest_node_as_centre(graph, parts):
    names, pairs = graph
    every = nodes(names)
    u, v = (np.array([p[i] for p in pairs], int) for i in (0, 1))
    down = (
        np.where(stars.less(every[v], every[u])[:, None], np.stack([u, v], 1), np.stack([v, u], 1))
        if len(pairs)
        else np.empty((0, 2), int)
    )
    down = down[down[:, 0] != down[:, 1]]
    settled, rounds = components(stars.edges(every[down[:, 0]], every[down[:, 1]]), parts)
    n = len(names)
    _, label = connected_components(coo_matrix((np.ones(len(u)), (u, v)), shape=(n, n)), directed=False)
    member, centre = stars.ends(settled)
    found = {int(m["gid"]): int(c["gid"]) for m, c in zip(member, centre, strict=True)}
    order = np.lexsort((every["gid"], every["name"]))
    for group in range(label.max() + 1):
        inside = [int(i) for i in order if label[i] == group]
        assert all(found.get(i, i) == inside[0] for i in inside)
    assert len(found) == len(settled)
    assert rounds <= 2 + 2 * int(np.ceil(np.log2(n + 1)))


def test_a_long_chain_settles_in_few_rounds():
    every = nodes(np.random.default_rng(0).permutation(2000))
    u, v = every[:-1], every[1:]
    settled, rounds = components(np.where(stars.less(v, u), stars.edges(u, v), stars.edges(v, u)), 3)
    assert len(settled) == 1999 and len(np.unique(settled[["v_name", "v_gid"]])) == 1
    assert rounds <= 12


def test_key_stars_link_every_holder_of_a_key_to_the_smallest():
    every = nodes([5, 3, 9, 4])
    found = stars.key_stars(np.array([1, 1, 1, 2], np.uint64), every)
    assert sorted(zip(found["u_name"].tolist(), found["v_name"].tolist(), strict=True)) == [(5, 3), (9, 3)]
    assert len(stars.key_stars(np.array([1, 2], np.uint64), nodes([1, 2]))) == 0
    assert len(stars.key_stars(np.empty(0, np.uint64), nodes([]))) == 0


@given(graphs, st.randoms())
def test_the_fold_tells_edge_sets_apart_and_not_their_order(graph, random):
    names, pairs = graph
    every = nodes(names)
    edges = stars.unique(stars.edges(every[[a for a, _ in pairs]], every[[b for _, b in pairs]]))
    mixed = edges[random.sample(range(len(edges)), len(edges))]
    assert stars.fold(mixed) == stars.fold(edges)
    if len(edges):
        assert stars.fold(edges[1:]) != stars.fold(edges)
