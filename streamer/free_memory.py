"""Memory that the allocator holds and nothing uses, given back to the system now and then.

Packets, frames and what a network needs come in many sizes and are freed in another order than they
were taken. glibc keeps the holes that this leaves in its arenas, and of each gives back the end
alone: a run of days would hold more and more of them.
"""

from __future__ import annotations

import ctypes
import platform
import time

import numpy as np

GIVE_BACK_SECONDS = 30.0
_NUMPY_SMALL_BYTES = 1024
"""numpy keeps what it frees of each size below this,"""
_NUMPY_KEEPS = 7
"""up to so many blocks, for the next array of that size."""


def fill_small_blocks() -> None:
    """Let numpy take at once, 3.7 MB in one piece, the small blocks that it would come to keep.

    Otherwise they gather over hours, each where there was room, and pin the pages around them.
    """
    sizes = range(1, _NUMPY_SMALL_BYTES)
    blocks = [np.empty(size, dtype=np.uint8) for size in sizes for _ in range(_NUMPY_KEEPS)]
    del blocks


class FreeMemory:
    """Gives it back every so often; where the C library is not glibc it does nothing.

    Args:
        every_seconds: how often at most.
    """

    def __init__(self, every_seconds: float = GIVE_BACK_SECONDS) -> None:
        self._every_seconds = every_seconds
        self._last_seconds = time.monotonic()
        glibc = platform.libc_ver()[0] == "glibc"
        self._trim = ctypes.CDLL(None).malloc_trim if glibc else None

    def give_back(self) -> None:
        """Do it if it is due: a millisecond or two (some 100 ms where 500 MB were just freed), in
        which other threads go on."""
        now = time.monotonic()
        if self._trim is not None and now - self._last_seconds >= self._every_seconds:
            self._last_seconds = now
            self._trim(0)
