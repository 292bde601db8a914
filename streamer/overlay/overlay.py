"""Draws a frame's tracks on its picture, the way a sight does: calm, thin and legible."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.schema import OverlaySettings
from streamer.overlay import shapes
from streamer.overlay.canvas import FAINT_HALO, INK, Canvas, Colour, Gray, Picture, Typeface
from streamer.overlay.contrast import Contrast
from streamer.overlay.inset import Inset, InsetPlan
from streamer.overlay.labels import LabelPlacer
from streamer.overlay.trails import Trails
from streamer.types import FrameResult, TrackState

PALETTE: tuple[Colour, ...] = (
    (60, 190, 255),
    (245, 200, 95),
    (150, 215, 60),
    (215, 160, 240),
    (90, 235, 250),
    (110, 140, 255),
)
"""Amber, sky, green, orchid, yellow, coral: after Okabe and Ito (2008), lightened for grey
pictures; they differ in lightness too, for those who cannot tell the hues."""
BAND: Colour = (26, 23, 21)
MUTED: Colour = (150, 146, 142)
MAX_SIDE = 4096
"""Drawing scales no picture beyond this, px."""
AIR = 5.0
"""Between a target's box and what is drawn around it, px of the drawn picture."""
MIN_HALF_FRAME = 11.0
TRAIL_PIECES = 4

Rects = NDArray[np.float64]


class Overlay:
    """The annotated picture of one source's results, in frame order.

    Targets' own pixels are never drawn over: where a target's box is, the picture is as it would
    be without any track. The status line stands below the picture, not on it.
    """

    def __init__(
        self, settings: OverlaySettings, *, black_hot: bool = False, live: bool = False
    ) -> None:
        """Make an overlay.

        Args:
            settings: what to draw.
            black_hot: the camera shows hot things dark; its picture is shown that way, too, with
                ``settings.as_camera``.
            live: the status line shows the wall clock besides the stream's own.
        """
        self._settings = settings
        self._live = live
        self._contrast = Contrast(settings.contrast, invert=black_hot and settings.as_camera)
        self._trails = Trails(settings.trails_seconds)
        self._labels = LabelPlacer()
        self._inset = Inset()
        self._kind: tuple[tuple[int, ...], np.dtype[Any]] | None = None
        self._typefaces: dict[int, Typeface] = {}

    def draw(self, result: FrameResult) -> Picture:
        """The picture of ``result``.

        Returns:
            (H', W', 3) uint8 BGR. Both sides are even: the source's picture times an integer, a
            status line below, and a dark column where the width would be odd.
        """
        frame = result.frame
        kind = (frame.image.shape, frame.image.dtype)
        if kind != self._kind:  # what was learned of other pictures is not true of these
            self._kind = kind
            self._trails.clear()
            self._contrast.restart()
        scale = drawing_scale(frame.width, frame.height, self._settings.min_width)
        shown = self._contrast(frame.image, frame.bit_depth, frame.pts_seconds)
        canvas = Canvas(
            _enlarged(shown, scale),
            self._typeface(frame.width * scale),
            line_width=1 if frame.width * scale < 1600 else 2,
        )
        self._trails.update(result.tracks, frame.pts_seconds, min_step_px=1.5 / scale)
        plan = self._annotate(result, canvas, scale)
        picture, ground = _ground(canvas)
        canvas.finish(into=picture)
        if plan is not None:
            self._draw_inset(picture, result, shown, plan, canvas)
        self._write_status(ground, picture.shape[0], result, canvas.typeface)
        return ground

    def _annotate(self, result: FrameResult, canvas: Canvas, scale: int) -> InsetPlan | None:
        """Collect everything that is drawn on the picture itself; the inset comes on top."""
        tracks = result.tracks
        shown = np.flatnonzero(
            tracks.reported
            & np.isfinite(tracks.xy).all(axis=1)
            & np.isfinite(tracks.boxes_xyxy).all(axis=1)
        )
        boxes = (tracks.boxes_xyxy[shown] + 0.5) * scale - 0.5
        frames = _frames(boxes)
        if self._settings.detections:
            _draw_loose_detections(result, canvas, scale)
        if self._settings.uncertainty:
            _draw_uncertainty(result, shown, boxes, canvas, scale)
        for row, outline in zip(shown.tolist(), frames, strict=True):
            self._draw_trail(result, row, outline, canvas, scale)
            _draw_frame(result, row, outline, canvas)
        plan = None
        if self._settings.inset:
            plan = self._inset.plan(result, shown, frames, canvas.size, scale)
        self._draw_labels(result, shown, frames, canvas, plan)
        for box in boxes:
            canvas.protect(_core(box, scale))
        return plan

    def _draw_trail(
        self, result: FrameResult, row: int, outline: Rects, canvas: Canvas, scale: int
    ) -> None:
        points, age = self._trails.of(int(result.tracks.track_id[row]), result.frame.pts_seconds)
        points = (points + 0.5) * scale - 0.5
        outside = np.flatnonzero(
            (points < outline[:2]).any(axis=1) | (points > outline[2:]).any(axis=1)
        )
        if not len(outside):
            return
        points = points[: outside[-1] + 1]  # what lies inside the target's own frame is left out
        colour = _colour(result, row)
        steps = np.arange(TRAIL_PIECES, -1, -1) * (self._settings.trails_seconds / TRAIL_PIECES)
        cuts = np.searchsorted(-age[: len(points)], -steps).tolist()
        for k, (start, end) in enumerate(itertools.pairwise(cuts), start=1):
            line = points[start : end + 1]  # to the next piece's first point: no gaps
            if end > start:
                x, y = line[len(line) // 2].tolist()
                tone = canvas.tone(colour, 0.8 * k / TRAIL_PIECES, x, y)
                canvas.lines([line], tone, FAINT_HALO)

    def _draw_labels(
        self,
        result: FrameResult,
        shown: NDArray[np.int64],
        frames: Rects,
        canvas: Canvas,
        plan: InsetPlan | None,
    ) -> None:
        tracks, face = result.tracks, canvas.typeface
        width, height = canvas.size
        visible = (
            (frames[:, 2] > 0) & (frames[:, 0] < width - 1)
            & (frames[:, 3] > 0) & (frames[:, 1] < height - 1)
        )  # fmt: skip
        rows, frames = shown[visible], frames[visible]
        texts = [_label(result, int(row)) for row in rows]
        sizes = np.array(
            [(face.width(a, 600) + face.width(b, 400) + 2, face.height + 2) for a, b in texts],
            dtype=np.float64,
        ).reshape(-1, 2)
        obstacles = np.array([plan.rect] if plan else [], dtype=np.float64).reshape(-1, 4)
        ids = [int(i) for i in tracks.track_id[rows]]
        places = self._labels.place(ids, frames, sizes, obstacles, canvas.size)
        for row, (name, note), place in zip(rows, texts, places, strict=True):
            if np.isfinite(place[0]):
                x, y = place[0] + 1, place[1] + 1
                canvas.text(name, x, y, _colour(result, int(row)), 600)
                if note:
                    canvas.text(note, x + face.width(name, 600), y, INK, 400)

    def _draw_inset(
        self, picture: Picture, result: FrameResult, shown: Gray, plan: InsetPlan, canvas: Canvas
    ) -> None:
        x0, y0, x1, y1 = plan.rect
        tracks = result.tracks
        cut = self._inset.magnify(shown, tracks.xy[plan.row], plan)
        colour = _colour(result, plan.row)
        view = Canvas(cut, canvas.typeface, canvas.line_width)
        side, middle = float(x1 - x0 - 1), (x1 - x0 - 1) / 2
        tick = side / 14
        view.lines(
            [
                np.array([(0.0, middle), (tick, middle)]),
                np.array([(side - tick, middle), (side, middle)]),
                np.array([(middle, 0.0), (middle, tick)]),
                np.array([(middle, side - tick), (middle, side)]),
            ],
            colour,
        )
        face = canvas.typeface
        name = str(int(tracks.track_id[plan.row]))
        view.text(name, 7, 7, colour, 600)
        zoom = f"{plan.zoom}\N{MULTIPLICATION SIGN}"
        view.text(zoom, side - 7 - face.width(zoom, 400), 7, INK, 400)
        view.finish(into=picture[y0:y1, x0:x1])
        cv2.rectangle(picture, (x0 - 1, y0 - 1), (x1, y1), BAND, 1)
        cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), canvas.tone(colour, 0.7, x0, y0), 1)

    def _write_status(
        self, ground: Picture, height: int, result: FrameResult, face: Typeface
    ) -> None:
        """Fill the band below the picture, which is ``height`` high."""
        full_height, full_width = ground.shape[:2]
        baseline = (height + full_height + face.height) // 2
        gap, left, right = face.size, face.size // 2 + 2, full_width - face.size // 2 - 2

        for text, colour, weight in reversed(_tally(result)):
            right -= face.width(text, weight)
            if right > left:
                face.write(ground, text, (right, baseline), colour, weight)
            right -= gap
        for text, colour, weight in self._caption(result):
            text = _fitted(text, right - left, face, weight)
            face.write(ground, text, (left, baseline), colour, weight)
            left += face.width(text, weight) + gap

    def _caption(self, result: FrameResult) -> list[tuple[str, Colour, int]]:
        frame = result.frame
        parts = [(frame.source, INK, 600), (_clock(frame.pts_seconds), INK, 400)]
        if self._live:
            moment = datetime.fromtimestamp(frame.utc, UTC)
            parts.append((f"{moment:%Y-%m-%d %H:%M:%S} UTC", MUTED, 400))
        parts.append((f"frame {frame.index}", MUTED, 400))
        if frame.frozen or frame.damaged:
            parts.append(("frozen" if frame.frozen else "damaged", INK, 600))
        return parts

    def _typeface(self, canvas_width: int) -> Typeface:
        size = int(np.clip(round(canvas_width / 62), 12, 28))
        if size not in self._typefaces:
            self._typefaces[size] = Typeface(size)
        return self._typefaces[size]


def drawing_scale(width: int, height: int, min_width: int) -> int:
    """By which integer a picture is enlarged for drawing: to ``min_width``, within MAX_SIDE."""
    return max(1, min(math.ceil(min_width / width), MAX_SIDE // max(width, height)))


def _enlarged(gray: Gray, scale: int) -> Gray:
    if scale == 1:
        return gray
    size = (gray.shape[1] * scale, gray.shape[0] * scale)
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _ground(canvas: Canvas) -> tuple[Picture, Picture]:
    """Room for the picture, inside room for picture and status line, which has even sides."""
    width, height = canvas.size
    full_height = shapes.rounded_up_even(height + 2 * canvas.typeface.height + 4)
    ground = np.empty((full_height, shapes.rounded_up_even(width), 3), np.uint8)
    ground[:height, width:] = BAND
    ground[height:] = BAND
    return ground[:height, :width], ground


def _frames(boxes: Rects) -> Rects:
    """What is drawn around each box: some air, and never too tight to see."""
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = np.maximum((boxes[:, 2:] - boxes[:, :2]) / 2 + AIR, MIN_HALF_FRAME)
    return np.concatenate([center - half, center + half], axis=1)


def _core(box: Rects, scale: int) -> Rects:
    """The target's own pixels: its box, at least one pixel of the source."""
    center = (box[:2] + box[2:]) / 2
    half = np.maximum((box[2:] - box[:2]) / 2, scale / 2)
    return np.concatenate([center - half, center + half])


def _draw_uncertainty(
    result: FrameResult, shown: NDArray[np.int64], boxes: Rects, canvas: Canvas, scale: int
) -> None:
    """The 95 % ellipses that reach beyond their target's box; others would only hide it."""
    covariances = result.tracks.position_cov[shown] * scale**2
    known = np.isfinite(covariances).all(axis=(1, 2))
    rows, boxes = shown[known], boxes[known]
    centers = (result.tracks.xy[rows] + 0.5) * scale - 0.5
    outlines = shapes.ellipses(centers, covariances[known])
    low, high = outlines.min(axis=1), outlines.max(axis=1)
    beyond = (low < boxes[:, :2]).any(axis=1) | (high > boxes[:, 2:]).any(axis=1)
    for index in np.flatnonzero(beyond).tolist():
        x, y = centers[index].tolist()
        tone = canvas.tone(_colour(result, int(rows[index])), 0.55, x, y)
        canvas.lines([outlines[index]], tone, FAINT_HALO)


def _draw_frame(result: FrameResult, row: int, outline: Rects, canvas: Canvas) -> None:
    """Corner brackets around a target that is seen, dashes around one that is not."""
    colour = _colour(result, row)
    if result.tracks.state[row] != TrackState.COASTING:
        canvas.lines(shapes.brackets(outline, 12.0), colour)
        return
    # No more dashes than the picture's surroundings need, however large the box.
    near = np.clip(outline, -64.0, max(canvas.size) + 64.0)
    x, y = near[:2].tolist()
    canvas.lines(shapes.dashed_rectangle(near, 6.0), canvas.tone(colour, 0.85, x, y))


def _draw_loose_detections(result: FrameResult, canvas: Canvas, scale: int) -> None:
    """Small crosses, open in the middle, at detections that belong to no reported track."""
    tracks, detections = result.tracks, result.detections
    used = tracks.detection_index[tracks.reported]
    loose = np.setdiff1d(np.arange(len(detections)), used)
    arms = np.array([[(3.0, 0.0), (7.0, 0.0)], [(-3.0, 0.0), (-7.0, 0.0)],
                     [(0.0, 3.0), (0.0, 7.0)], [(0.0, -3.0), (0.0, -7.0)]])  # fmt: skip
    for xy in (detections.xy[loose] + 0.5) * scale - 0.5:
        if np.isfinite(xy).all():
            canvas.lines(list(arms + xy), MUTED)


def _label(result: FrameResult, row: int) -> tuple[str, str]:
    """The track's number, and since when it coasts."""
    tracks = result.tracks
    name = str(int(tracks.track_id[row]))
    tenths = round(10 * float(tracks.seconds_since_update[row]))
    if tracks.state[row] != TrackState.COASTING or not tenths:
        return name, ""
    return name, f"  \N{MINUS SIGN}{tenths / 10:.1f} s"


def _colour(result: FrameResult, row: int) -> Colour:
    return PALETTE[(int(result.tracks.track_id[row]) - 1) % len(PALETTE)]


def _tally(result: FrameResult) -> list[tuple[str, Colour, int]]:
    state = result.tracks.state
    coasting = int((state == TrackState.COASTING).sum())
    count = int(result.tracks.reported.sum())
    parts = [(f"{count} track" + "s" * (count != 1), INK if count else MUTED, 400)]
    if coasting:
        parts.append((f"{coasting} coasting", MUTED, 400))
    return parts


def _clock(seconds: float) -> str:
    sign = "\N{MINUS SIGN}" if seconds < 0 else ""
    minutes, rest = divmod(round(abs(seconds) * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02d}:{rest / 1000:06.3f}"
    return f"{sign}{hours}:{text}" if hours else sign + text


def _fitted(text: str, room: int, face: Typeface, weight: int) -> str:
    """``text``, shortened until it fits; empty where there is no room at all."""
    if face.width(text, weight) <= room:
        return text
    while text and face.width(text + "\N{HORIZONTAL ELLIPSIS}", weight) > room:
        text = text[:-1]
    return text + "\N{HORIZONTAL ELLIPSIS}" if text else ""
