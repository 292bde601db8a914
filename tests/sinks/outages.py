"""What the tests of outages share: all outputs of a source on a disk, and how to look at them."""

from __future__ import annotations

import errno
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from recordings import numbers_in
from sink_results import result_of, tracks_at

from configs.schema import DiskSettings, StreamSettings
from streamer.protocols import Sink
from streamer.sinks.disk import Disk
from streamer.sinks.factory import build_sinks
from streamer.types import FrameResult

AT_ONCE = DiskSettings(min_free_mb=0, retry_seconds=1e-6)
ENCODING = {"preset": "ultrafast"}


def fill(folder: Path, leave: int = 0) -> Path:
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leave))
    return path


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


def result(index: int) -> FrameResult:
    rng = np.random.default_rng(index)
    image = rng.integers(0, 255, (48, 64)).astype(np.uint8)
    return result_of(index, image=image, tracks=tracks_at([(12, 9)]))


def stale(*_: object) -> None:
    """In place of what a network folder refuses."""
    raise OSError(errno.ESTALE, "Stale file handle")


def sinks_in(folder: Path, disk: Disk, **record: object) -> list[Sink]:
    settings = StreamSettings.model_validate(
        {
            "output": {
                "record": {**ENCODING, "crf": 10, **record},
                "overlay": {"min_width": 64},
                "events": {"jsonl": True},
            }
        }
    )
    return build_sinks(folder, settings, source="gate", disk=disk)


def write(sinks: list[Sink], indices: range) -> None:
    for index in indices:
        for sink in sinks:
            sink.write(result(index))


def close(sinks: list[Sink]) -> None:
    for sink in reversed(sinks):
        sink.close()


def whole_lines(path: Path) -> list[dict[str, object]]:
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def frames_of(path: Path) -> int:
    """How many pictures of it play; all of them must."""
    return len(numbers_in(path))
