"""The pipeline on a file: what each stage costs, and what is lost against the network alone."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.material import HEIGHT, WIDTH, rendered_clip
from benchmarks.report import Column, Part, Plan, paired_ratio, say
from configs.schema import StreamSettings
from model.checkpoint import load_network, resolve_weights
from model.detector import NetworkDetector, build_detector
from model.engines import build_engine
from model.engines.base import Engine, EngineBatch, EngineTicket
from streamer.pipeline import Pipeline, RunReport, Stream
from streamer.protocols import Source
from streamer.sinks.factory import build_sinks
from streamer.sources.factory import open_source
from streamer.summary import summarise
from streamer.types import Image, StreamError
from tracking import RtsSmoother, build_tracker

MODES = ("full", "gated")
_LEAST_FRAMES = 20
_WARM_UP_FRAMES = 12
_STAGES = {
    "preprocess": "preprocess",
    "network": "network",
    "postprocess": "postprocess",
    "track": "track",
    "events": "write events.jsonl",
    "tracks": "write tracks.txt",
    "smooth": "smooth tracks, write tracks_smoothed.txt",
    "frames": "write frames.jsonl",
    "annotate": "draw and encode",
}

_ABOUT_STAGES = f"""\
A rendered scene as an H.264 file, {WIDTH}x{HEIGHT}, recorded as by default: milliseconds a frame
from the pipeline's own summary (`stage_ms`). Decoding is measured by reading the file alone, its
mean. In mode gated p50 is a frame of windows and p99 one that is scanned whole. Stages run beside
each other: their sum is not a frame's time; `fps` is what came out of all of it."""

_ABOUT_PIPELINE = f"""\
The same kind of file ({WIDTH}x{HEIGHT}) through the whole pipeline, logs but no recording, beside
the network alone in the same engine on the same decoded frames, in alternating rounds: `ratio` is
the median over rounds of the paired ratio of frame rates."""

_STAGES_COLUMNS = (
    Column("stage", "stage"),
    *(
        Column(f"{mode}_{percentile}", f"{mode} {percentile}", "{:.2f}")
        for mode in MODES
        for percentile in ("p50", "p99")
    ),
)
_PIPELINE_COLUMNS = (
    Column("what", "what"),
    Column("ratio", "ratio", "{:.2f}x"),
    Column("against", "against"),
    Column("fps", "fps", "{:.1f}"),
    Column("rounds", "rounds", "{:d}"),
    Column("frames", "frames a round", "{:d}"),
)


def settings_of(
    plan: Plan, *, mode: str = "auto", record: bool = False, frames: int | None = None
) -> StreamSettings:
    """The product's defaults with what the benchmark changes.

    Args:
        plan: device and threads.
        mode: of the detector.
        record: write the annotated video.
        frames: stop after so many; None: all.
    """
    detector = {"mode": mode, "device": plan.device, "threads": plan.threads}
    return StreamSettings.model_validate(
        {
            "detector": detector,
            "output": {"record": {"enabled": record}},
            "run": {"max_frames": frames},
        }
    )


def run_pipeline(
    sources: Sequence[Source], detector: NetworkDetector, settings: StreamSettings
) -> RunReport:
    """Run sources to their end, with the default sinks; what they wrote is thrown away.

    Raises:
        StreamError: a source or a component failed.
    """
    with tempfile.TemporaryDirectory(prefix="irtrack-bench-") as folder:
        streams = []
        for source in sources:
            place = Path(folder) / source.name
            place.mkdir()
            sinks = build_sinks(
                place,
                settings,
                source=source.name,
                live=source.live,
                smoother=None if source.live else RtsSmoother(),
            )
            tracker = build_tracker(settings.tracker, detector.threshold)
            streams.append(Stream(source, tracker, tuple(sinks)))
        pipeline = Pipeline(streams, detector, settings)
        report = pipeline.run()
    for each in report.snapshot.sources:
        if each.error is not None:
            raise StreamError(f"{each.name}: {each.error}")
    return report


def measure_stages(plan: Plan) -> Part:
    """Measure every stage in both modes."""
    at_most, budget = (90, 5.0) if plan.quick else (300, 20.0)
    found: dict[str, dict[str, dict[str, float]]] = {}
    fps: dict[str, float] = {}
    with rendered_clip(at_most) as clip:
        images, decode_seconds = _decode(clip)
        with closing(_engine(plan)) as engine:
            frames = _frames_within(budget, engine, images)
        for mode in MODES:
            settings = settings_of(plan, mode=mode, record=True, frames=frames)
            say(f"  mode {mode}: {frames} frames")
            with closing(build_detector(settings.detector)) as detector:
                _warm_up(plan, detector, clip)
                summary = summarise(_run_file(clip, "scene", detector, settings), "scene", settings)
                found[mode], fps[mode] = summary["stage_ms"], summary["fps"]
                ran = detector.describe()
    decode: dict[str, Any] = {"stage": "decode (alone, mean)"}
    rows = [decode | {f"{mode}_p50": decode_seconds * 1e3 for mode in MODES}]
    # How long a frame waits in the queue of a file is no cost: the reader is always ahead.
    for stage in dict.fromkeys((*_STAGES, *found["full"], *found["gated"])):
        if stage == "queue":
            continue
        row: dict[str, Any] = {"stage": _STAGES.get(stage, stage)}
        for mode in MODES:
            for name, value in found[mode].get(stage, {}).items():
                row[f"{mode}_{name}"] = value
        rows.append(row)
    more = {"detector": ran, "fps": fps, "frames": frames, "stage_ms": found}
    ends = ", ".join(f"{value:.1f} in mode {mode}" for mode, value in fps.items())
    about = f"{_ABOUT_STAGES} Here: {frames} frames, {_words(ran)}, fps {ends}."
    return Part("stages", about.replace("\n", " "), _STAGES_COLUMNS, rows, more)


def measure_pipeline(plan: Plan) -> Part:
    """Measure the network alone, and the pipeline in both modes."""
    at_most, budget, rounds = (90, 3.0, 2) if plan.quick else (300, 15.0, 3)
    alone: list[float] = []
    piped: dict[str, list[float]] = {mode: [] for mode in MODES}
    with rendered_clip(at_most) as clip, closing(_engine(plan)) as engine:
        images = _decode(clip)[0]
        frames = _frames_within(budget, engine, images)
        settings = {mode: settings_of(plan, mode=mode, frames=frames) for mode in MODES}
        full, gated = (build_detector(settings[mode].detector) for mode in MODES)
        detectors = dict(zip(MODES, (full, gated), strict=True))
        with closing(full), closing(gated):
            for detector in detectors.values():
                _warm_up(plan, detector, clip)
            for number in range(rounds):
                say(f"  round {number + 1} of {rounds}: {frames} frames")
                alone.append(network_seconds(engine, images[:frames]) / frames)
                for mode, detector in detectors.items():
                    # A name of its own, so that the detector meets every run as a new source.
                    name = f"round-{number}"
                    report = _run_file(clip, name, detector, settings[mode])
                    piped[mode].append(1 / report.snapshot.sources[0].fps_mean)
            ran = full.describe()
    counts = {"rounds": rounds, "frames": frames}
    rows = [
        {"what": "network alone", "fps": 1 / statistics.median(alone), **counts},
        {
            "what": "pipeline, full",
            "against": "network alone",
            "ratio": paired_ratio(alone, piped["full"]),
            "fps": 1 / statistics.median(piped["full"]),
            **counts,
        },
        {
            "what": "pipeline, gated",
            "against": "pipeline, full",
            "ratio": paired_ratio(piped["full"], piped["gated"]),
            "fps": 1 / statistics.median(piped["gated"]),
            **counts,
        },
    ]
    seconds = {"network alone": alone, **{f"pipeline, {mode}": piped[mode] for mode in MODES}}
    more = {"detector": ran, "seconds_a_frame_of_rounds": seconds}
    about = f"{_ABOUT_PIPELINE} Here: {_words(ran)}."
    return Part("pipeline", about.replace("\n", " "), _PIPELINE_COLUMNS, rows, more)


def network_seconds(engine: Engine, images: Sequence[Image]) -> float:
    """How long the network alone takes for pictures of 8 bit, a picture a batch, with as many in
    flight as the engine allows."""
    gain, offset = np.ones(1, dtype=np.float32), np.zeros(1, dtype=np.float32)
    flying: deque[EngineTicket] = deque()
    began = time.perf_counter()
    for image in images:
        flying.append(engine.submit(EngineBatch([image], gain, offset)))
        if len(flying) >= engine.max_in_flight:
            flying.popleft().result()
    while flying:
        flying.popleft().result()
    return time.perf_counter() - began


def _engine(plan: Plan) -> Engine:
    """The engine that the detector of this plan has, with nothing around it."""
    settings = settings_of(plan, mode="full").detector
    with closing(build_detector(settings)) as detector:
        weights = detector.describe()["weights"]
    chosen = plan.device
    if chosen == "auto":
        chosen = "cuda" if torch.cuda.is_available() else "cpu"
    return build_engine(
        load_network(resolve_weights(weights)),
        torch.device(chosen),
        kind=settings.engine,
        precision=settings.precision,
        threads=settings.threads,
        in_flight=settings.batch.in_flight,
    )


def _decode(clip: Path) -> tuple[list[Image], float]:
    """All pictures of a file, and mean seconds a frame of opening and reading it."""
    images = []
    began = time.perf_counter()
    with closing(open_source(str(clip), StreamSettings().source, "decode")) as source:
        source.open()
        while (frame := source.read()) is not None:
            images.append(frame.image)
    return images, (time.perf_counter() - began) / len(images)


def _frames_within(budget_seconds: float, engine: Engine, images: Sequence[Image]) -> int:
    """How many frames the network manages in so many seconds, within limits."""
    network_seconds(engine, images[:2])  # buffers and kernels are made for this size
    each = network_seconds(engine, images[:3]) / 3
    return max(_LEAST_FRAMES, min(len(images), int(budget_seconds / each)))


def _run_file(
    clip: Path, name: str, detector: NetworkDetector, settings: StreamSettings
) -> RunReport:
    return run_pipeline([open_source(str(clip), settings.source, name)], detector, settings)


def _warm_up(plan: Plan, detector: NetworkDetector, clip: Path) -> None:
    settings = settings_of(plan, mode=detector.mode, frames=_WARM_UP_FRAMES)
    _run_file(clip, "warm-up", detector, settings)


def _words(ran: dict[str, str]) -> str:
    return f"{ran['weights']} in {ran['engine']} {ran['precision']} on {ran['device']}"
