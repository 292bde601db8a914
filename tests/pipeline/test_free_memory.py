"""What was freed goes back to the system, and no more often than asked."""

import platform

import numpy as np
import pytest
from resident_memory import STATM, resident_megabytes

from streamer.free_memory import FreeMemory

pytestmark = [
    pytest.mark.skipif(not STATM.exists(), reason="needs /proc"),
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc"),
]


def holes() -> list[np.ndarray]:
    """100 MB freed in pieces of 64 KB, with a small piece in use after each: the allocator cannot
    give them back by itself."""
    pieces = [(np.ones(65536, np.uint8), np.ones(4096, np.uint8)) for _ in range(1600)]
    return [small for _, small in pieces]


def test_what_was_freed_goes_back() -> None:
    kept = holes()
    before = resident_megabytes()
    FreeMemory(every_seconds=0).give_back()
    assert resident_megabytes() < before - 60
    assert all(piece.all() for piece in kept)


def test_not_before_it_is_due() -> None:
    free_memory = FreeMemory(every_seconds=3600)
    kept = holes()
    before = resident_megabytes()
    free_memory.give_back()
    assert resident_megabytes() > before - 10
    assert len(kept) == 1600
