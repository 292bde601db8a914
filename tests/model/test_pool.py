"""Buffers are used again, and those of sizes that are gone are let go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.engines.pool import BufferPool


def test_a_buffer_comes_back_for_its_own_key_only() -> None:
    pool: BufferPool[int, str] = BufferPool(2)
    assert pool.take(1) is None
    pool.give_back(1, "one")
    assert pool.take(2) is None
    assert pool.take(1) == "one"
    assert pool.take(1) is None


def test_the_key_unused_for_longest_goes_first() -> None:
    pool: BufferPool[int, str] = BufferPool(2)
    pool.give_back(1, "one")
    pool.give_back(2, "two")
    pool.give_back(1, "another one")
    pool.give_back(3, "three")
    assert pool.take(2) is None
    assert {pool.take(1), pool.take(1), pool.take(3)} == {"one", "another one", "three"}


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 4))
def test_it_never_keeps_more_keys_than_it_may(keys: list[int], most: int) -> None:
    pool: BufferPool[int, int] = BufferPool(most)
    for key in keys:
        pool.give_back(key, key)
    kept = [key for key in range(10) if pool.take(key) == key]
    assert sorted(kept) == sorted(list(dict.fromkeys(reversed(keys)))[:most])
    pool.clear()
    assert all(pool.take(key) is None for key in range(10))


def test_no_keys_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="keys is 0"):
        BufferPool(0)
