"""What every test of the pipeline checks: that no thread outlives its run."""

import threading
import time
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    # One that FFmpeg held ends a moment after its connection, when the machine gets round to it.
    until = time.monotonic() + 5.0
    while (left := set(threading.enumerate()) - before) and time.monotonic() < until:
        time.sleep(0.01)
    assert not [thread.name for thread in left]
