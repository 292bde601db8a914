"""A bounded, closable queue between two threads, and a gate to wait on several of them at once.

``block`` makes the producer wait for room: nothing is lost, and a file is read no faster than it
is processed. ``drop_oldest`` never makes it wait: the oldest item leaves, so that what a consumer
gets is never older than ``capacity`` items. Either way every item put is accounted for: it comes
out of :meth:`Channel.get`, or ``put`` or ``abort`` hands it back as dropped.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Generic, Literal, TypeVar

Policy = Literal["block", "drop_oldest"]
T = TypeVar("T")


class Gate:
    """Lets one thread wait until anything changes in any of several channels.

    The waiter notes :attr:`version`, looks at its channels, and waits with that number: a change
    between the look and the wait is not missed, because the number has moved on.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._version = 0

    @property
    def version(self) -> int:
        """Counts the changes so far."""
        with self._condition:
            return self._version

    def notify(self) -> None:
        """Tell the waiter that something changed."""
        with self._condition:
            self._version += 1
            self._condition.notify_all()

    def wait(self, version: int, timeout: float) -> bool:
        """Wait until there is a change since ``version``: True, or False after ``timeout`` s."""
        with self._condition:
            return self._condition.wait_for(lambda: self._version != version, max(0.0, timeout))


class Channel(Generic[T]):
    """A queue of at most ``capacity`` items, first in first out, for any number of threads.

    Args:
        capacity: items that may wait, 1 or more.
        policy: what ``put`` does when it is full: ``block`` or ``drop_oldest``.
        gate: is notified of every change, for a thread that waits on several channels.
    """

    def __init__(self, capacity: int, policy: Policy, gate: Gate | None = None) -> None:
        if capacity < 1:
            raise ValueError(f"a channel's capacity is {capacity}, expected 1 or more")
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._policy = policy
        self._gate = gate
        self._lock = threading.Lock()
        self._has_items = threading.Condition(self._lock)
        self._has_room = threading.Condition(self._lock)
        self._closed = False

    @property
    def capacity(self) -> int:
        """The most items that may wait."""
        return self._capacity

    @property
    def depth(self) -> int:
        """Items that wait now."""
        with self._lock:
            return len(self._items)

    @property
    def ended(self) -> bool:
        """True when nothing waits and nothing will come any more."""
        with self._lock:
            return self._closed and not self._items

    @property
    def closed(self) -> bool:
        """True once nothing more is put into it."""
        return self._closed

    def put(self, item: T) -> list[T]:
        """Add an item. ``block`` waits for room, until another thread gets, closes or aborts.

        Returns:
            The items that nobody will get: the oldest ones under ``drop_oldest``; ``item`` itself
            where the channel is closed.
        """
        dropped: list[T] = []
        with self._lock:
            if self._policy == "block":
                self._has_room.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                return [item]
            while len(self._items) >= self._capacity:
                dropped.append(self._items.popleft())
            self._items.append(item)
            self._has_items.notify()
        self._notify_gate()
        return dropped

    def get(self, timeout: float | None = 0.0) -> T | None:
        """Take the oldest item out.

        Args:
            timeout: seconds to wait for one; 0: do not wait; None: until one comes or the end.

        Returns:
            None when none came in time, or none will come: ``ended`` tells which.
        """
        until = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            while not self._items:
                remaining = None if until is None else until - time.monotonic()
                if self._closed or (remaining is not None and remaining <= 0):
                    return None
                self._has_items.wait(remaining)
            item = self._items.popleft()
            self._has_room.notify()
        self._notify_gate()
        return item

    def __iter__(self) -> Iterator[T]:
        """Every item, waiting for each, until the channel has ended."""
        while (item := self.get(timeout=None)) is not None:
            yield item

    def close(self) -> None:
        """Let nothing more in; what waits can still be taken out. Idempotent."""
        self._shut(discard=False)

    def abort(self) -> list[T]:
        """Let nothing more in and give up what waits. Idempotent.

        Returns:
            The items that waited, which nobody will get.
        """
        return self._shut(discard=True)

    def _shut(self, *, discard: bool) -> list[T]:
        with self._lock:
            self._closed = True
            discarded = list(self._items) if discard else []
            if discard:
                self._items.clear()
            self._has_items.notify_all()
            self._has_room.notify_all()
        self._notify_gate()
        return discarded

    def _notify_gate(self) -> None:
        # Outside the channel's lock: the two locks are never held together, so cannot deadlock.
        if self._gate is not None:
            self._gate.notify()
