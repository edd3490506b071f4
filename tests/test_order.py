"""The order of patches, and how readers share it: laws of positions, against counting."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpatch.run.order import batch_edges, by_chunk, check_shard, mixed


def positions(n, size, drop_last, shards, workers):
    """Give the batches of each shard, those of all its workers one after the other."""
    out = []
    for k in range(shards):
        own = [
            batch_edges(n, size, drop_last, (k, shards), (w, workers)).tolist()
            for w in range(workers)
        ]
        out.append([range(a, b) for e in own for a, b in itertools.pairwise(e)])
    return out


@given(
    n=st.integers(0, 200),
    size=st.integers(1, 20),
    shards=st.integers(1, 5),
    workers=st.integers(1, 4),
    drop_last=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_shares_are_a_partition(n, size, shards, workers, drop_last):
    least = n // shards
    most = math.ceil(math.ceil(n / shards) / size)
    enough = least >= size if drop_last else most <= least
    if shards > 1 and not enough:
        with pytest.raises(ValueError, match=str(n)):
            batch_edges(n, size, drop_last, (0, shards))
        return
    found = positions(n, size, drop_last, shards, workers)
    assert len({len(batches) for batches in found}) == 1
    flat = [p for batches in found for batch in batches for p in batch]
    assert len(set(flat)) == len(flat)
    if drop_last:
        assert {len(b) for batches in found for b in batches} <= {size}
        assert n - len(flat) < shards * size
    else:
        assert flat == list(range(n))
        assert all(0 < len(b) <= size for batches in found for b in batches)
    one = positions(n, size, drop_last, shards, 1)
    assert found == one  # workers share the batches that there are


@given(n=st.integers(0, 100), buffer=st.integers(1, 50), seed=st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_mixing_moves_by_less_than_the_buffer(n, buffer, seed):
    turn = mixed(n, buffer, np.random.default_rng(seed))
    assert sorted(turn.tolist()) == list(range(n))
    assert (np.abs(turn - np.arange(n)) < buffer).all()


def test_chunks_stay_together_and_all_orders_occur():
    homes = np.array([0, 1, 0, 2, 1, 0])
    seen, firsts = set(), set()
    for seed in range(60):
        order = by_chunk(homes, np.random.default_rng(seed))
        assert sorted(order.tolist()) == list(range(6))
        assert (np.diff(homes[order]) != 0).sum() == 2
        seen.add(tuple(dict.fromkeys(homes[order].tolist())))
        firsts.add(int(order[homes[order] == 0][0]))
    assert len(seen) == 6
    assert firsts == {0, 2, 5}


@pytest.mark.parametrize(
    ("shard", "error", "message"),
    [
        (3, TypeError, "pair of ints"),
        ((0, 1.5), TypeError, "pair of ints"),
        ((True, 2), TypeError, "pair of ints"),
        ((2, 2), ValueError, "count from 0"),
        ((-1, 2), ValueError, "count from 0"),
        ((0, 0), ValueError, "at least one"),
    ],
)
def test_wrong_shards(shard, error, message):
    with pytest.raises(error, match=message):
        check_shard(shard)
