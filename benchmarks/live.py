"""Live cameras: how many of them the machine keeps up with."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from benchmarks.material import FPS, HEIGHT, WIDTH, MemorySource, render
from benchmarks.report import Column, Part, Plan, say
from benchmarks.streams import run_pipeline, settings_of
from model.detector import NetworkDetector, build_detector, device_of
from streamer.stats import RunSnapshot, SourceSnapshot
from streamer.types import Image

_STOP_AT_DROPPED = 0.5
STAGES_TO_TRACKS = ("queue", "preprocess", "network", "postprocess", "track")


@dataclass(frozen=True, slots=True)
class Camera:
    """What is asked of a device, and for how long nothing is measured yet."""

    width: int
    """px"""
    height: int
    """px"""
    fps: int
    quick_counts: tuple[int, ...]
    counts: tuple[int, ...]
    warm_up_seconds: float
    """A GPU's kernels are recorded for one batch size after the other: see
    `model/engines/torch_cuda.py`."""


CAMERAS = {
    "cpu": Camera(WIDTH, HEIGHT, FPS, (1, 2, 4), (1, 2, 4, 8, 16), warm_up_seconds=0.5),
    "cuda": Camera(640, 512, 60, (1, 4, 16), (1, 2, 4, 8, 16), warm_up_seconds=4.0),
}

_ABOUT = """\
Cameras out of step with each other, whose frames were rendered beforehand; default settings for the
device, logs but no recording. Latency is from the moment at which a frame is due to its tracks: the
median of the sources' medians and the worst source's p99; `slowest stage` is where a frame spends
most of that, by the median of the sources' medians. On a CPU the part ends after the first count
that drops more than half."""

_COLUMNS = (
    Column("sources", "sources", "{:d}"),
    Column("dropped", "dropped", "{:.1%}"),
    Column("fps", "fps, all", "{:.1f}"),
    Column("fps_each", "fps a source", "{:.1f}"),
    Column("latency_ms_p50", "latency p50, ms", "{:.1f}"),
    Column("latency_ms_p99", "p99, ms", "{:.1f}"),
    Column("slowest_stage", "slowest stage"),
)


def measure_live(plan: Plan) -> Part:
    """Measure 1, 2, 4, ... cameras for some seconds each."""
    camera = CAMERAS[device_of(settings_of(plan).detector).type]
    counts, seconds = (camera.quick_counts, 3.0) if plan.quick else (camera.counts, 10.0)
    images = render(
        60 if plan.quick else 150, width=camera.width, height=camera.height, fps=camera.fps
    )
    rows = []
    ran: dict[str, str] = {}
    for count in counts:
        say(f"  {count} sources for {seconds:g} s")
        with closing(build_detector(settings_of(plan).detector, sources=count)) as detector:
            _run(plan, detector, images, camera.fps, count, camera.warm_up_seconds, "warm-up")
            rows.append(pooled(_run(plan, detector, images, camera.fps, count, seconds, "camera")))
            ran = detector.describe()
        if ran["device"] == "cpu" and rows[-1]["dropped"] > _STOP_AT_DROPPED:
            break
    about = (
        f"{_ABOUT} Here: {camera.width}x{camera.height} at {camera.fps} fps for {seconds:g} s "
        f"each, {ran['weights']} in {ran['engine']} "
        f"{ran['precision']} on {ran['device']}, mode {ran['mode']}."
    )
    return Part("live", about.replace("\n", " "), _COLUMNS, rows, {"detector": ran})


def _run(
    plan: Plan,
    detector: NetworkDetector,
    images: Sequence[Image],
    fps: int,
    count: int,
    seconds: float,
    name: str,
) -> RunSnapshot:
    # The cameras end by themselves: stopping the run would drop what waits at that moment.
    sources = [
        MemorySource(
            images,
            f"{name}-{k}",
            frames=round(seconds * fps),
            fps=fps,
            delay_seconds=k / (count * fps),
            offset=k * len(images) // count,
        )
        for k in range(count)
    ]
    return run_pipeline(sources, detector, settings_of(plan)).snapshot


def pooled(snapshot: RunSnapshot) -> dict[str, Any]:
    """A row of all sources of a run together."""
    sources = snapshot.sources
    captured = sum(each.captured for each in sources)
    processed = sum(each.processed for each in sources)
    fps = processed / snapshot.elapsed_seconds
    stages = {name: _median_ms(sources, name) for each in sources for name in each.stage_ms}
    before_tracks = {name: ms for name, ms in stages.items() if name in STAGES_TO_TRACKS}
    return {
        "sources": len(sources),
        "dropped": sum(each.dropped for each in sources) / captured,
        "fps": fps,
        "fps_each": fps / len(sources),
        "latency_ms_p50": statistics.median(each.latency_ms.p50 for each in sources),
        "latency_ms_p99": max(each.latency_ms.p99 for each in sources),
        "slowest_stage": max(before_tracks, key=before_tracks.__getitem__, default=None),
        "stage_ms_p50": stages,
        "captured": captured,
        "processed": processed,
    }


def _median_ms(sources: Sequence[SourceSnapshot], stage: str) -> float:
    return statistics.median(each.stage_ms[stage].p50 for each in sources if stage in each.stage_ms)
