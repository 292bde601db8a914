"""The tracker alone: how long a step takes with so many tracks, and a look at the camera."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.report import Column, Part, Plan, percentile, say
from configs.schema import SyntheticSettings, TrackerSettings
from streamer.scene import Scene
from streamer.types import Detections, FloatArray
from tracking import build_tracker
from tracking.camera_motion import CameraMotion, Motion

_COUNTS = (10, 100, 1000)
_FPS = 30.0
_SPACING_PX = 40.0
_SPEED_SIGMA = 20.0
"""px/s"""
_DETECTED = 0.9
_CLUTTER_PER_TARGET = 0.2
_THRESHOLD = 0.5
_WARM_UP = 8
"""Steps until the tracks are confirmed."""
_LEAST_STEPS = 6

_ABOUT = """\
A step of the tracker at its default settings, one frame at 30 fps: targets 40 px apart on average
that cross as they please, nine in ten of them detected, and a fifth as many false detections as
targets, a fifth of those strong enough to start a track. No pictures, and making the detections is
not in it."""

_COLUMNS = (
    Column("targets", "targets", "{:d}"),
    Column("step_ms", "step ms, median", "{:.3f}"),
    Column("step_ms_p99", "p99", "{:.3f}"),
    Column("tracks", "tracks alive", "{:.0f}"),
    Column("reported", "reported", "{:.0f}"),
    Column("detections", "detections a frame", "{:.0f}"),
    Column("steps", "steps", "{:d}"),
)

_ABOUT_CAMERA = """\
What the tracker's step takes on top where it gets pictures: tracker.camera_motion at auto on the
built-in scene, noise and all, of a camera that stands and of one that pans by {pan:g} px a
frame. Rendering is not in it."""

_PAN_PX = 4.0
_CAMERA_COLUMNS = (
    Column("camera", "camera"),
    Column("picture", "picture"),
    Column("look_ms", "ms a picture, median", "{:.3f}"),
    Column("look_ms_p99", "p99", "{:.3f}"),
    Column("still_share", "seen to stand", "{:.0%}"),
    Column("trusted_share", "trusted", "{:.0%}"),
    Column("pictures", "pictures", "{:d}"),
)


def measure_camera(plan: Plan) -> Part:
    """Measure a standing and a panning camera, 320 x 256 and 640 x 512 px."""
    pictures = 30 if plan.quick else 150
    rows = []
    for width, height in ((320, 256), (640, 512)):
        for camera, pan in (("stands", 0.0), ("pans", _PAN_PX)):
            say(f"  {width}x{height} {camera}")
            row = _look(width, height, pan, pictures)
            rows.append({"camera": camera, "picture": f"{width}x{height}", **row})
    about = _ABOUT_CAMERA.replace("\n", " ").format(pan=_PAN_PX)
    return Part("camera", about, _CAMERA_COLUMNS, rows)


def _look(width: int, height: int, pan_px: float, pictures: int) -> dict[str, Any]:
    settings = SyntheticSettings(
        seconds=(pictures + 1) / _FPS,
        fps=_FPS,
        width=width,
        height=height,
        camera_drift_px_per_second=pan_px * _FPS,
    )
    scene = Scene(settings)
    camera = CameraMotion(TrackerSettings().camera_motion)
    no_boxes = np.empty((0, 4))
    camera.estimate(scene.render(0).image, no_boxes)
    seconds: list[float] = []
    motions: list[Motion] = []
    for k in range(1, pictures + 1):
        image = scene.render(k).image
        began = time.perf_counter()
        motions.append(camera.estimate(image, no_boxes))
        seconds.append(time.perf_counter() - began)
    return {
        "look_ms": statistics.median(seconds) * 1e3,
        "look_ms_p99": percentile(seconds, 99) * 1e3,
        "still_share": statistics.mean(motion.still for motion in motions),
        "trusted_share": statistics.mean(motion.trusted for motion in motions),
        "pictures": pictures,
    }


def measure_tracker(plan: Plan) -> Part:
    """Measure 10, 100 and 1000 targets."""
    steps, budget = (60, 2.0) if plan.quick else (300, 60.0)
    rows = []
    for count in _COUNTS:
        say(f"  {count} targets")
        rows.append(_measure(count, steps, budget))
    return Part("tracker", _ABOUT.replace("\n", " "), _COLUMNS, rows)


def _measure(count: int, steps: int, budget_seconds: float) -> dict[str, Any]:
    """A row; after the budget no more steps are taken, once there are ``_LEAST_STEPS``."""
    tracker = build_tracker(TrackerSettings(), _THRESHOLD)
    seconds: list[float] = []
    alive, reported, seen = [], [], []
    for k, detections in enumerate(crowd(count, steps + _WARM_UP)):
        began = time.perf_counter()
        tracks = tracker.step(detections)
        elapsed = time.perf_counter() - began
        if k >= _WARM_UP:
            seconds.append(elapsed)
            alive.append(len(tracks))
            reported.append(int(tracks.reported.sum()))
            seen.append(len(detections))
        if len(seconds) >= _LEAST_STEPS and math.fsum(seconds) > budget_seconds:
            break
    return {
        "targets": count,
        "step_ms": statistics.median(seconds) * 1e3,
        "step_ms_p99": percentile(seconds, 99) * 1e3,
        "tracks": statistics.median(alive),
        "reported": statistics.median(reported),
        "detections": statistics.mean(seen),
        "steps": len(seconds),
    }


def crowd(count: int, frames: int) -> Iterator[Detections]:
    """The detections of so many targets, with misses, noise and clutter; always the same ones."""
    rng = np.random.default_rng(count)
    side = _SPACING_PX * math.sqrt(count)
    start = rng.uniform(0, side, (count, 2))
    velocity = rng.normal(0, _SPEED_SIGMA, (count, 2))
    clutter = round(_CLUTTER_PER_TARGET * count)
    for k in range(frames):
        seen = rng.random(count) < _DETECTED
        found = start[seen] + velocity[seen] * k / _FPS + rng.normal(0, 0.5, (seen.sum(), 2))
        false = rng.uniform(0, side, (clutter, 2))
        score = np.concatenate([rng.uniform(0.6, 1, len(found)), rng.uniform(0.1, 0.6, clutter)])
        yield _detections(np.concatenate([found, false]), score, k)


def _detections(xy: FloatArray, score: FloatArray, frame: int) -> Detections:
    count = len(xy)
    return Detections(
        xy=xy,
        boxes_xyxy=np.hstack([xy - 1.5, xy + 1.5]),
        score=score,
        area_px=np.full(count, 9.0),
        peak_snr=np.full(count, 8.0),
        extended=np.zeros(count, dtype=np.bool_),
        frame_index=frame,
        pts_seconds=frame / _FPS,
    )
