"""``frames.jsonl``: everything that was found, one object a processed frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from configs.schema import OpticsSettings
from streamer.bearings import Optics, optics_of
from streamer.sinks.disk import Disk
from streamer.sinks.files import BEARING_DIGITS, LineFile, number, numbers, to_line
from streamer.sinks.retention import Limits
from streamer.types import Detections, FrameResult, Tracks, TrackState


class FramesLog:
    """Writes a line of strict JSON for every processed frame.

    Always: ``index``, ``pts`` and ``utc`` (seconds), ``frozen`` (the picture shows nothing new),
    ``damaged`` (parts of it may be wrong), ``counts`` of detections and of tracks by state. With
    detail ``tracks`` also ``tracks``: every live track, tentative ones included; with ``full`` also
    ``detections``. Where the camera's optics are known, tracks have azimuth, elevation and their
    rates, too (:class:`streamer.bearings.Bearings`). Pixels are the source's own, an integer is a
    pixel's centre. A number that is not finite is null.
    """

    name = "frames"

    def __init__(
        self,
        path: Path,
        detail: Literal["full", "tracks", "counts"],
        disk: Disk | None = None,
        camera: OpticsSettings | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._detail = detail
        self._camera = camera or OpticsSettings()
        self._file = LineFile(path, disk, limits)

    def write(self, result: FrameResult) -> None:
        """Append the frame's line.

        Raises:
            StreamError: the file cannot be written.
        """
        frame, tracks = result.frame, result.tracks
        states = tracks.state.tolist()
        record: dict[str, Any] = {
            "index": frame.index,
            "pts": number(frame.pts_seconds, 6),
            "utc": number(frame.utc, 6),
            "frozen": frame.frozen,
            "damaged": frame.damaged,
            "counts": {
                "detections": len(result.detections),
                **{state.label: states.count(state) for state in TrackState},
            },
        }
        if self._detail == "full":
            record["detections"] = _detections(result.detections)
        if self._detail != "counts":
            optics = optics_of(self._camera, frame.width, frame.height)
            record["tracks"] = _tracks(tracks, optics)
        self._file.write(to_line(record))

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()


def _detections(detections: Detections) -> list[dict[str, Any]]:
    columns = zip(
        numbers(detections.xy, 3),
        numbers(detections.boxes_xyxy, 2),
        numbers(detections.score, 4),
        numbers(detections.area_px, 1),
        numbers(detections.peak_snr, 2),
        detections.extended.tolist(),
        strict=True,
    )
    names = ("xy", "box_xyxy", "score", "area_px", "peak_snr", "extended")
    return [dict(zip(names, values, strict=True)) for values in columns]


def _tracks(tracks: Tracks, optics: Optics | None) -> list[dict[str, Any]]:
    seen = {} if optics is None else optics.bearings(tracks.xy, tracks.velocity).columns()
    columns = zip(
        tracks.track_id.tolist(),
        [TrackState(state).label for state in tracks.state.tolist()],
        numbers(tracks.xy, 3),
        numbers(tracks.velocity, 2),
        numbers(tracks.position_cov, 4),
        numbers(tracks.boxes_xyxy, 2),
        numbers(tracks.score, 4),
        numbers(tracks.age_seconds, 4),
        numbers(tracks.seconds_since_update, 4),
        tracks.detection_index.tolist(),
        *(numbers(column, BEARING_DIGITS) for column in seen.values()),
        strict=True,
    )
    names = (
        "id", "state", "xy", "velocity", "position_cov", "box_xyxy", "score", "age_seconds",
        "seconds_since_update", "detection_index", *seen,
    )  # fmt: skip
    return [dict(zip(names, values, strict=True)) for values in columns]
