"""Memory that the allocator holds and nothing uses, given back to the system now and then.

Packets, frames and what a network needs come in many sizes and are freed in another order than they
were taken. glibc keeps the holes that this leaves in its arenas, and of each gives back the end
alone: a run of days would hold more and more of them.
"""

from __future__ import annotations

import ctypes
import platform
import time

GIVE_BACK_SECONDS = 30.0


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
