"""What was freed goes back to the system, and no more often than asked."""

import platform
import subprocess
import sys

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


SMALL_ARRAYS = """
import ctypes, sys
import numpy as np
from streamer.free_memory import fill_small_blocks

class InUse(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "abcdefghij"]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = InUse
if sys.argv[1] == "filled":
    fill_small_blocks()
rng = np.random.default_rng(1)
counts = []
for _ in range(1000):
    held = [np.empty(int(size), np.uint8) for size in rng.integers(1, 1024, 20)]
    del held
    counts.append(libc.mallinfo2().h)
print(counts[-1] - counts[10])
"""


def grown_by_small_arrays(how: str) -> int:
    """Bytes in use by which a program grew that makes small arrays of all sizes and keeps none."""
    command = [sys.executable, "-c", SMALL_ARRAYS, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_small_arrays_do_not_make_a_program_grow() -> None:
    assert grown_by_small_arrays("not filled") > 200_000
    assert grown_by_small_arrays("filled") < 20_000
