"""What the tests of recordings share: moving pictures, and how to read files back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np


def picture(number: int, width: int = 64, height: int = 48, *, noisy: bool = False) -> np.ndarray:
    """A grey picture whose bottom rows spell its number, so that it survives compression.

    A noisy one takes some 3 kB.
    """
    image = np.full((height, width, 3), 90, np.uint8)
    if noisy:
        image[:-16] = np.random.default_rng(number).integers(0, 255, (height - 16, width, 3))
        image[-16:] = 0
    for bit in range(16):
        if number >> bit & 1:
            image[-16:, bit * 4 : bit * 4 + 4] = 255
    return image


def numbers_in(path: Path) -> list[int]:
    """The numbers of a file's pictures, in order."""
    with av.open(str(path)) as container:
        rows = [frame.to_ndarray(format="gray")[-8] for frame in container.decode(video=0)]
    return [sum(int(row[bit * 4 + 1] > 170) << bit for bit in range(16)) for row in rows]


def times_in(path: Path) -> list[float]:
    """The times at which a file's pictures are shown, s."""
    with av.open(str(path)) as container:
        return [float(frame.time or 0.0) for frame in container.decode(video=0)]


def in_order(folder: Path, pattern: str = "annotated*.mp4") -> list[Path]:
    """A recording's files, the first one first."""
    return sorted(folder.glob(pattern), key=lambda path: (len(path.stem), path.stem))


def killed_after(count: int, program: str, *arguments: str) -> int:
    """Run a program that prints the number of each picture that it has written, and kill it.

    Args:
        count: the number from which on it is killed.
        program: Python, run from the project's root.
        arguments: of the program.

    Returns:
        The last number that it printed: what it wrote before the signal came counts as written.
    """
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        written = 0
        deadline = time.monotonic() + 60
        while written < count and time.monotonic() < deadline:
            written = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        return max([written, *(int(line) for line in process.stdout)])
