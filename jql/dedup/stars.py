"""Connected components by alternating large and small stars: each step looks at one node's neighbours only.

A node is a document: (name, gid), ordered by name, then gid. An edge array has dtype EDGE and is directed u -> v.
Source: Kiveris et al., "Connected Components in MapReduce and Beyond", 2014: the two steps, alternated, end in stars
whose centre is the smallest node of the component, after O(log^2 n) rounds.
"""

import numpy as np

NODE = np.dtype([("name", "<u8"), ("gid", "<i8")])
EDGE = np.dtype([("u_name", "<u8"), ("u_gid", "<i8"), ("v_name", "<u8"), ("v_gid", "<i8")])


def edges(u_N: np.ndarray, v_N: np.ndarray) -> np.ndarray:
    """EDGE (N,) from two NODE (N,)."""
    out = np.empty(len(u_N), EDGE)
    out["u_name"], out["u_gid"], out["v_name"], out["v_gid"] = u_N["name"], u_N["gid"], v_N["name"], v_N["gid"]
    return out


def ends(edges_E: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NODE (E,) twice: where each edge starts and where it ends."""
    u, v = np.empty(len(edges_E), NODE), np.empty(len(edges_E), NODE)
    u["name"], u["gid"] = edges_E["u_name"], edges_E["u_gid"]
    v["name"], v["gid"] = edges_E["v_name"], edges_E["v_gid"]
    return u, v


def unique(edges_E: np.ndarray) -> np.ndarray:
    """Edges sorted by both ends, each once."""
    if not len(edges_E):
        return edges_E
    order = np.lexsort((edges_E["v_gid"], edges_E["v_name"], edges_E["u_gid"], edges_E["u_name"]))
    ordered = edges_E[order]
    keep = np.ones(len(ordered), bool)
    keep[1:] = ordered[1:] != ordered[:-1]
    return ordered[keep]


def reverse(edges_E: np.ndarray) -> np.ndarray:
    """Every edge the other way round."""
    u, v = ends(edges_E)
    return edges(v, u)


def less(u_N: np.ndarray, v_N: np.ndarray) -> np.ndarray:
    """Bool (N,): u comes before v."""
    result: np.ndarray = (u_N["name"] < v_N["name"]) | ((u_N["name"] == v_N["name"]) & (u_N["gid"] < v_N["gid"]))
    return result


def key_stars(keys_N: np.ndarray, nodes_N: np.ndarray) -> np.ndarray:
    """Edges from every node to the smallest node that shares its key; a key held by one node gives none.

    Args:
        keys_N: uint64 (N,), band keys.
    """
    order = np.lexsort((nodes_N["gid"], nodes_N["name"], keys_N))
    keys, nodes = keys_N[order], nodes_N[order]
    return unique(_to_first(keys[1:] == keys[:-1], nodes))


def _to_first(same_as_before: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Edges from each node to the first of its group; groups are runs in which `same_as_before` holds."""
    if len(nodes) < 2:
        return np.empty(0, EDGE)
    starts = np.concatenate(([True], ~same_as_before))
    first = np.maximum.accumulate(np.where(starts, np.arange(len(nodes)), 0))
    members = ~starts
    u, v = nodes[members], nodes[first[members]]
    found: np.ndarray = edges(u, v)[np.flatnonzero(u != v)]
    return found


def _smallest_neighbour(edges_E: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges sorted by u, and for each of them the smaller of u and its smallest neighbour, and u itself (NODE)."""
    ordered = unique(edges_E)
    u, v = ends(ordered)
    starts = np.ones(len(u), bool)
    starts[1:] = u[1:] != u[:-1]
    first = np.maximum.accumulate(np.where(starts, np.arange(len(u)), 0))
    smallest = v[first]
    smallest = np.where(less(smallest, u), smallest, u)
    return ordered, smallest, u


def large_star(edges_E: np.ndarray) -> np.ndarray:
    """Link every larger neighbour of u to the smallest of u's neighbourhood. Needs all edges of u, in both directions.

    Returns:
        Edges from larger to smaller node.
    """
    if not len(edges_E):
        return edges_E
    ordered, smallest, u = _smallest_neighbour(edges_E)
    v = ends(ordered)[1]
    larger = less(u, v)
    return unique(edges(v[larger], smallest[larger]))


def small_star(edges_E: np.ndarray) -> np.ndarray:
    """Link u and its smaller neighbours to the smallest of them. Needs all edges from u to smaller nodes.

    Returns:
        Edges from larger to smaller node.
    """
    if not len(edges_E):
        return edges_E
    ordered, smallest, u = _smallest_neighbour(edges_E)
    v = ends(ordered)[1]
    both = np.concatenate([edges(v, smallest), edges(u, smallest)])
    a, b = ends(both)
    return unique(both[a != b])


def fold(edges_E: np.ndarray) -> int:
    """A number of an edge set that does not depend on order or partition; equal sets have equal numbers."""
    if not len(edges_E):
        return 0
    mixed = np.full(len(edges_E), 0x243F6A8885A308D3, np.uint64)
    for field in EDGE.names or ():
        mixed = (mixed ^ edges_E[field].astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return int(mixed.sum(dtype=np.uint64))
