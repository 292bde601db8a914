"""Buffers that are used again by batches of the same size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Buffer = TypeVar("Buffer")


class BufferPool(Generic[Key, Buffer]):
    """Keeps the free buffers of the last few keys: windows come in any number, pictures of a
    folder in any size, and a device's memory is finite.

    Args:
        keys: of how many keys buffers are kept; those of the one unused for longest go first.

    Raises:
        ValueError: ``keys`` is under 1.
    """

    def __init__(self, keys: int) -> None:
        if keys < 1:
            raise ValueError(f"keys is {keys}, expected 1 or more")
        self._keys = keys
        self._free: OrderedDict[Key, list[Buffer]] = OrderedDict()

    def take(self, key: Key) -> Buffer | None:
        """A free buffer of this key, or None: make one, and give it back afterwards."""
        free = self._free.get(key)
        if free is None:
            return None
        self._free.move_to_end(key)
        return free.pop() if free else None

    def give_back(self, key: Key, buffer: Buffer) -> None:
        """A buffer that nobody uses any more."""
        self._free.setdefault(key, []).append(buffer)
        self._free.move_to_end(key)
        while len(self._free) > self._keys:
            self._free.popitem(last=False)

    def clear(self) -> None:
        """Let go of all of them."""
        self._free.clear()
