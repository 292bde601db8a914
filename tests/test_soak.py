"""Two cameras for a long time: nothing grows, nothing slows down, and the books balance."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from resident_memory import STATM, resident_megabytes
from scipy.stats import theilslopes

from configs.schema import StreamSettings
from model.detector import build_detector
from streamer.pipeline import Pipeline, Stream
from streamer.sinks.factory import build_sinks
from streamer.sources.network import NetworkSource
from streamer.stats import RunSnapshot
from streamer.types import FrameResult
from tracking import build_tracker

Serve = Callable[..., Any]

WARM_UP_SHARE = 0.2
MEMORY_LIMITS = {30: 5.0, 120: 1.0}
"""Resident memory may grow by so many MB/h over so many minutes from the start."""


class Latencies:
    """A sink that notes when each frame came and its latency, in memory that it takes at the
    start."""

    name = "latencies"

    def __init__(self, most: int) -> None:
        self._noted = np.full((most, 2), -1.0)  # touched: this memory is there from the start
        self._count = 0

    def within(self, seconds: float) -> NDArray[np.float64]:
        """(N,) s: latencies of the frames that came so long after the first, at most."""
        at, latency = self._noted[: self._count].T
        return latency[at - at[0] <= seconds]

    def write(self, result: FrameResult) -> None:
        self._noted[self._count] = time.monotonic(), result.stage_seconds["latency"]
        self._count += 1

    def close(self) -> None:
        pass


@dataclass
class Growth:
    """What some minutes from the start of a run showed."""

    minutes: float
    megabytes: NDArray[np.float64]
    """Resident memory, the median of each tenth."""
    megabytes_an_hour: float
    """Its slope after the warm-up."""
    p50: float
    """Latency of the last tenth of the frames over that of the first; the worse camera's."""
    p99: float

    def __str__(self) -> str:
        return (
            f"{self.minutes:.0f} min: resident memory {self.megabytes_an_hour:+.2f} MB/h "
            f"({' '.join(f'{each:.1f}' for each in self.megabytes)} MB), "
            f"latency p50 x{self.p50:.2f}, p99 x{self.p99:.2f}"
        )


@dataclass
class Soaked:
    """A run of two cameras."""

    latencies: list[Latencies]
    memory: NDArray[np.float64]
    """(N, 2): s since the start, resident MB."""
    end: RunSnapshot

    def over(self, minutes: float) -> Growth:
        at, megabytes = self.memory[self.memory[:, 0] <= 60 * minutes].T
        warm = at >= WARM_UP_SHARE * 60 * minutes
        slope = theilslopes(megabytes[warm][::10], at[warm][::10] / 3600)[0]
        growth = []
        for percent in (50, 99):
            tenths = [
                [np.percentile(tenth, percent) for tenth in np.array_split(latency, 10)]
                for latency in (noted.within(60 * minutes) for noted in self.latencies)
            ]
            growth.append(max(float(each[-1] / each[0]) for each in tenths))
        medians = np.array([np.median(tenth) for tenth in np.array_split(megabytes, 10)])
        return Growth(minutes, medians, float(slope), *growth)


def soak(serve: Serve, folder: Path, minutes: float) -> Soaked:
    """Run two RTSP cameras through everything: network, tracker, recording and logs."""
    settings = StreamSettings.model_validate(
        {
            "run": {"max_seconds": minutes * 60},
            "detector": {"device": "cpu", "threads": 1},
            "output": {"record": {"preset": "ultrafast"}},
        }
    )
    detector = build_detector(settings.detector, sources=2)
    latencies = [Latencies(int(minutes * 60 * 30) + 1000) for _ in range(2)]
    streams = []
    for name, noted in zip(("one", "two"), latencies, strict=True):
        source = NetworkSource(serve("live").address, settings.source, name)
        (folder / name).mkdir()
        sinks = build_sinks(folder / name, settings, source=name, window=None, live=True)
        tracker = build_tracker(settings.tracker, detector.threshold)
        streams.append(Stream(source, tracker, (*sinks, noted)))
    pipeline = Pipeline(streams, detector, settings)
    memory = np.full((int(minutes * 60) + 100, 2), -1.0)  # touched, as above
    seconds = 0

    def tick(snapshot: RunSnapshot) -> None:
        nonlocal seconds
        if snapshot.elapsed_seconds >= seconds:
            memory[seconds] = snapshot.elapsed_seconds, resident_megabytes()
            seconds += 1

    report = pipeline.run(tick)
    detector.close()
    assert not report.failed
    return Soaked(latencies, memory[:seconds], report.snapshot)


@pytest.mark.slow
@pytest.mark.skipif(not STATM.exists(), reason="needs /proc")
def test_two_cameras_for_a_long_time(
    serve_rtsp: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    minutes = max(MEMORY_LIMITS)
    soaked = soak(serve_rtsp, tmp_path, minutes)
    grown = {each: soaked.over(each) for each in MEMORY_LIMITS}
    with capsys.disabled():
        for end in soaked.end.sources:
            print(
                f"\nsoak: {end.processed} frames, {end.dropped} dropped of {end.captured}", end=""
            )
        for growth in grown.values():
            print(f"\nsoak: {growth}", end="")
    for end in soaked.end.sources:
        assert end.captured == end.processed + end.dropped + end.corrupt
        assert end.captured > 20 * 60 * minutes  # of 25 a second
        assert (end.reconnects, end.stalls, end.error) == (0, 0, None)
    for over, megabytes_an_hour in MEMORY_LIMITS.items():
        assert grown[over].megabytes_an_hour <= megabytes_an_hour
        assert grown[over].p50 <= 1.1
        assert grown[over].p99 <= 1.5
