"""Two cameras for a long time: nothing grows, nothing slows down, and the books balance."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
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


class Latencies:
    """A sink that notes each frame's latency, in memory that it takes at the start."""

    name = "latencies"

    def __init__(self, most: int) -> None:
        self._seconds = np.zeros(most, np.float32)
        self._seconds.fill(-1.0)  # touched: this memory is there from the start
        self._count = 0

    @property
    def seconds(self) -> NDArray[np.float32]:
        return self._seconds[: self._count]

    def write(self, result: FrameResult) -> None:
        self._seconds[self._count] = result.stage_seconds["latency"]
        self._count += 1

    def close(self) -> None:
        pass


@dataclass
class Soaked:
    """What a run of some minutes showed."""

    megabytes_an_hour: float
    p50_growth: float
    """p50 latency of the last tenth of the frames over that of the second, when all is warm."""
    p99_growth: float
    end: RunSnapshot

    def __str__(self) -> str:
        frames = [f"{each.processed} of {each.captured} frames" for each in self.end.sources]
        return (
            f"{self.end.elapsed_seconds / 60:.0f} min, {' and '.join(frames)}: resident memory "
            f"{self.megabytes_an_hour:+.2f} MB/h, latency p50 x{self.p50_growth:.2f}, "
            f"p99 x{self.p99_growth:.2f}"
        )


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
    memory: list[tuple[float, float]] = []

    def tick(snapshot: RunSnapshot) -> None:
        if not memory or snapshot.elapsed_seconds - memory[-1][0] >= 1.0:
            memory.append((snapshot.elapsed_seconds, _resident_megabytes()))

    report = pipeline.run(tick)
    detector.close()
    assert not report.failed
    at, megabytes = np.array(memory).T
    warm = at >= WARM_UP_SHARE * minutes * 60
    slope = theilslopes(megabytes[warm][::10], at[warm][::10] / 3600)[0]
    growth = []
    for percent in (50, 99):
        tenths = [
            [np.percentile(tenth, percent) for tenth in np.array_split(noted.seconds, 10)]
            for noted in latencies
        ]
        growth.append(max(each[-1] / each[1] for each in tenths))
    return Soaked(float(slope), float(growth[0]), float(growth[1]), report.snapshot)


def _resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize(("minutes", "megabytes_an_hour"), [(30, 5.0), (120, 1.0)])
def test_two_cameras_for_a_long_time(
    serve_rtsp: Serve,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    minutes: float,
    megabytes_an_hour: float,
) -> None:
    soaked = soak(serve_rtsp, tmp_path, minutes)
    with capsys.disabled():
        print(f"\nsoak: {soaked}")
    for end in soaked.end.sources:
        assert end.captured == end.processed + end.dropped + end.corrupt
        assert end.captured > 20 * 60 * minutes  # of 25 a second
        assert (end.reconnects, end.stalls, end.error) == (0, 0, None)
    assert soaked.megabytes_an_hour <= megabytes_an_hour
    assert soaked.p50_growth <= 1.1
    assert soaked.p99_growth <= 1.5
