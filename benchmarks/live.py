"""Live cameras at 30 fps: how many of them the machine keeps up with."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from benchmarks.material import FPS, HEIGHT, WIDTH, MemorySource, render
from benchmarks.report import Column, Part, Plan, say
from benchmarks.streams import run_pipeline, settings_of
from model.detector import NetworkDetector, build_detector
from streamer.stats import RunSnapshot
from streamer.types import Image

_STOP_AT_DROPPED = 0.5
_WARM_UP_SECONDS = 0.5

_ABOUT = f"""\
Cameras of {WIDTH}x{HEIGHT} at {FPS} fps, out of step with each other, whose frames were rendered
beforehand; default settings for the device, logs but no recording. Latency is from the moment at
which a frame is due to its tracks: the median of the sources' medians and the worst source's p99.
On a CPU the part ends after the first count that drops more than half."""

_COLUMNS = (
    Column("sources", "sources", "{:d}"),
    Column("dropped", "dropped", "{:.1%}"),
    Column("fps", "fps, all", "{:.1f}"),
    Column("fps_each", "fps a source", "{:.1f}"),
    Column("latency_ms_p50", "latency p50, ms", "{:.1f}"),
    Column("latency_ms_p99", "p99, ms", "{:.1f}"),
)


def measure_live(plan: Plan) -> Part:
    """Measure 1, 2, 4, ... cameras for some seconds each."""
    counts, seconds = ((1, 2, 4), 3.0) if plan.quick else ((1, 2, 4, 8, 16), 10.0)
    images = render(60 if plan.quick else 150)
    rows = []
    ran: dict[str, str] = {}
    for count in counts:
        say(f"  {count} sources for {seconds:g} s")
        with closing(build_detector(settings_of(plan).detector, sources=count)) as detector:
            _run(plan, detector, images, count, _WARM_UP_SECONDS, "warm-up")
            rows.append(pooled(_run(plan, detector, images, count, seconds, "camera")))
            ran = detector.describe()
        if ran["device"] == "cpu" and rows[-1]["dropped"] > _STOP_AT_DROPPED:
            break
    about = (
        f"{_ABOUT} Here: {seconds:g} s each, {ran['weights']} in {ran['engine']} "
        f"{ran['precision']} on {ran['device']}, mode {ran['mode']}."
    )
    return Part("live", about.replace("\n", " "), _COLUMNS, rows, {"detector": ran})


def _run(
    plan: Plan,
    detector: NetworkDetector,
    images: Sequence[Image],
    count: int,
    seconds: float,
    name: str,
) -> RunSnapshot:
    # The cameras end by themselves: stopping the run would drop what waits at that moment.
    sources = [
        MemorySource(
            images,
            f"{name}-{k}",
            frames=round(seconds * FPS),
            delay_seconds=k / (count * FPS),
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
    return {
        "sources": len(sources),
        "dropped": sum(each.dropped for each in sources) / captured,
        "fps": fps,
        "fps_each": fps / len(sources),
        "latency_ms_p50": statistics.median(each.latency_ms.p50 for each in sources),
        "latency_ms_p99": max(each.latency_ms.p99 for each in sources),
        "captured": captured,
        "processed": processed,
    }
