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

from benchmarks.material import HEIGHT, WIDTH, rendered_clip
from benchmarks.report import Column, Part, Plan, paired_ratio, say
from configs.schema import StreamSettings
from model.checkpoint import LoadedNetwork, load_network
from model.detector import NetworkDetector, build_detector, device_of, weights_of
from model.engines import build_engine
from model.engines.base import Engine, EngineBatch, EngineTicket
from model.mpcnet import attention_grid_of
from model.windows import scan_windows
from streamer.pipeline import Pipeline, RunReport, Stream
from streamer.protocols import Source
from streamer.sinks.factory import build_sinks
from streamer.sources.factory import open_source
from streamer.summary import summarise
from streamer.types import Image, StreamError
from tracking import RtsSmoother, build_tracker

MODES = ("full", "gated")
_LEAST_FRAMES = 20
_TRIED_FRAMES = 3
_WARM_UP_FRAMES = {"cpu": 12, "cuda": 300}
"""A GPU's kernels are recorded when a size has come again, some of them some tenths of a second on:
see `model/engines/torch_cuda.py`."""
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
the network alone in the same engine on the same decoded frames, whole or in the windows in which it
sees larger ones, in alternating rounds: `ratio` is the median over rounds of the paired ratio of
frame rates."""

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
    detector = {
        "mode": mode,
        "device": plan.device,
        "threads": plan.threads,
        "weights": plan.weights,
    }
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
        network = load_network(weights_of(settings_of(plan).detector))
        with closing(_engine(plan, network)) as engine:
            batches = whole_frames(images[:_TRIED_FRAMES], network.info.picture_size)
            frames = _frames_within(budget, engine, batches, len(images))
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
    network = load_network(weights_of(settings_of(plan).detector))
    with rendered_clip(at_most) as clip, closing(_engine(plan, network)) as engine:
        batches = whole_frames(_decode(clip)[0], network.info.picture_size)
        frames = _frames_within(budget, engine, batches[:_TRIED_FRAMES], len(batches))
        settings = {mode: settings_of(plan, mode=mode, frames=frames) for mode in MODES}
        full, gated = (build_detector(settings[mode].detector) for mode in MODES)
        detectors = dict(zip(MODES, (full, gated), strict=True))
        with closing(full), closing(gated):
            network_seconds(engine, batches[: _warm_up_frames(plan)])
            for detector in detectors.values():
                _warm_up(plan, detector, clip)
            for number in range(rounds):
                say(f"  round {number + 1} of {rounds}: {frames} frames")
                alone.append(network_seconds(engine, batches[:frames]) / frames)
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


def whole_frames(images: Sequence[Image], scan_px: int) -> list[EngineBatch]:
    """What a detector in mode full gives its engine for pictures of one source, a picture a batch:
    all of it, or the windows in which a network sees a much larger one.

    Args:
        images: (H, W) uint8 each.
        scan_px: side of the pictures that the network was trained on, px.
    """
    batches = []
    for image in images:
        height, width = image.shape
        windows = scan_windows(height, width, scan_px)
        pieces = [image] if windows is None else [window.cut(image) for window in windows]
        gain, offset = np.ones(len(pieces), np.float32), np.zeros(len(pieces), np.float32)
        grid = None if windows is None else attention_grid_of(scan_px)
        batches.append(EngineBatch(pieces, gain, offset, attention_grid=grid))
    return batches


def network_seconds(engine: Engine, batches: Sequence[EngineBatch]) -> float:
    """How long the network alone takes for batches, with as many in flight as the engine allows."""
    flying: deque[EngineTicket] = deque()
    began = time.perf_counter()
    for batch in batches:
        flying.append(engine.submit(batch))
        if len(flying) >= engine.max_in_flight:
            flying.popleft().result()
    while flying:
        flying.popleft().result()
    return time.perf_counter() - began


def _engine(plan: Plan, network: LoadedNetwork) -> Engine:
    """The engine that the detector of this plan has, with nothing around it."""
    settings = settings_of(plan, mode="full").detector
    return build_engine(
        network,
        device_of(settings),
        kind=settings.engine,
        precision=settings.precision,
        threads=settings.threads,
        in_flight=settings.batch.in_flight,
        window_sides=(network.info.picture_size,),
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


def _frames_within(
    budget_seconds: float, engine: Engine, batches: Sequence[EngineBatch], at_most: int
) -> int:
    """How many frames the network manages in so many seconds, within limits."""
    network_seconds(engine, batches)  # buffers and kernels are made for this size
    each = network_seconds(engine, batches) / len(batches)
    return max(_LEAST_FRAMES, min(at_most, int(budget_seconds / each)))


def _run_file(
    clip: Path, name: str, detector: NetworkDetector, settings: StreamSettings
) -> RunReport:
    return run_pipeline([open_source(str(clip), settings.source, name)], detector, settings)


def _warm_up(plan: Plan, detector: NetworkDetector, clip: Path) -> None:
    settings = settings_of(plan, mode=detector.mode, frames=_warm_up_frames(plan))
    _run_file(clip, "warm-up", detector, settings)


def _warm_up_frames(plan: Plan) -> int:
    return _WARM_UP_FRAMES[device_of(settings_of(plan).detector).type]


def _words(ran: dict[str, str]) -> str:
    return f"{ran['weights']} in {ran['engine']} {ran['precision']} on {ran['device']}"
