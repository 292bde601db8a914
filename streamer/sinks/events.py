"""A line of JSON, or a program of the user's, when a track is confirmed and when it is lost."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from configs.schema import EventSettings, OpticsSettings
from streamer.bearings import optics_of
from streamer.sinks.disk import Disk
from streamer.sinks.files import BEARING_DIGITS, LineFile, number, to_line
from streamer.sinks.hook import Hook
from streamer.sinks.retention import Limits
from streamer.types import FrameResult, StreamError


@dataclass(slots=True)
class _Seen:
    """What is told of a confirmed track when it is gone."""

    confirmed_pts: float
    seen_pts: float
    seen_frame: int
    x: float
    y: float
    vx: float
    vy: float
    score: float
    picture: tuple[int, int]
    """Width and height, px."""


class EventSink:
    """Tells when tracks are confirmed and when they are lost.

    ``confirmed``: ``{event, utc, pts, source, frame, id, x, y, vx, vy, score}`` at the frame where
    the track first is confirmed. ``lost``: the same keys, where position, velocity and score are
    those of the last detection, plus ``reason`` (``no detections``, or ``end of stream`` for those
    that were alive at the end), ``duration_seconds`` from confirmation to the last detection, and
    ``last_seen_pts`` and ``last_seen_frame``. Every confirmed track is lost once, and once more
    each time that it is found again, which is another ``confirmed`` of the same id. Where the
    camera's optics are known both have the bearing of that place, as ``frames.jsonl`` has it.
    """

    name = "events"

    def __init__(
        self,
        path: Path,
        settings: EventSettings,
        source: str,
        disk: Disk | None = None,
        camera: OpticsSettings | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Open what the settings ask for.

        Args:
            path: of events.jsonl.
            settings: whether lines go to the file, to standard output, to a program.
            source: the source's name.
            disk: where the file lies; None for one of its own.
            camera: its optics; None where they are not known.
            limits: of the file; None for none.

        Raises:
            StreamError: the file cannot be made, or the program is not there.
        """
        self._source = source
        self._camera = camera or OpticsSettings()
        self._stdout = settings.stdout
        self._hook = (
            Hook(settings.command, settings.command_timeout_seconds) if settings.command else None
        )
        try:
            self._file = LineFile(path, disk, limits) if settings.jsonl else None
        except StreamError:
            if self._hook is not None:
                self._hook.close()
            raise
        self._live: dict[int, _Seen] = {}
        self._last: FrameResult | None = None

    def write(self, result: FrameResult) -> None:
        """Compare the frame's confirmed tracks with those before.

        Raises:
            StreamError: a line cannot be written.
        """
        self._last = result
        if self._file is not None:
            self._file.write("")  # a file that is old is, also where nothing happens
        tracks, frame = result.tracks, result.frame
        before, self._live = self._live, {}
        fresh: list[int] = []
        for row in np.flatnonzero(tracks.reported).tolist():
            track_id = int(tracks.track_id[row])
            seen = before.pop(track_id, None)
            if seen is None:
                fresh.append(track_id)
            if seen is None or tracks.detection_index[row] >= 0:
                x, y = tracks.xy[row].tolist()
                vx, vy = tracks.velocity[row].tolist()
                since = frame.pts_seconds if seen is None else seen.confirmed_pts
                score = float(tracks.score[row])
                size = frame.width, frame.height
                seen = _Seen(since, frame.pts_seconds, frame.index, x, y, vx, vy, score, size)
            self._live[track_id] = seen
        for track_id, seen in before.items():
            self._tell_lost(track_id, seen, "no detections")
        for track_id in fresh:
            self._tell(self._record("confirmed", track_id, self._live[track_id]))

    def close(self) -> None:
        """Tell the end of every live track, then close file and program. Idempotent.

        Raises:
            StreamError: a line cannot be written.
        """
        live, self._live = self._live, {}
        try:
            for track_id, seen in live.items():
                self._tell_lost(track_id, seen, "end of stream", last=True)
        finally:
            try:
                if self._file is not None:
                    self._file.close()
            finally:
                if self._hook is not None:
                    self._hook.close()

    def _tell_lost(self, track_id: int, seen: _Seen, reason: str, *, last: bool = False) -> None:
        self._tell(
            self._record("lost", track_id, seen)
            | {
                "reason": reason,
                "duration_seconds": number(seen.seen_pts - seen.confirmed_pts, 6),
                "last_seen_pts": number(seen.seen_pts, 6),
                "last_seen_frame": seen.seen_frame,
            },
            last=last,
        )

    def _record(self, event: str, track_id: int, seen: _Seen) -> dict[str, Any]:
        assert self._last is not None
        frame = self._last.frame
        return {
            "event": event,
            "utc": number(frame.utc, 6),
            "pts": number(frame.pts_seconds, 6),
            "source": self._source,
            "frame": frame.index,
            "id": track_id,
            "x": number(seen.x, 3),
            "y": number(seen.y, 3),
            "vx": number(seen.vx, 2),
            "vy": number(seen.vy, 2),
            "score": number(seen.score, 4),
            **self._bearing(seen),
        }

    def _bearing(self, seen: _Seen) -> dict[str, Any]:
        optics = optics_of(self._camera, *seen.picture)
        if optics is None:
            return {}
        xy, velocity = np.array([[seen.x, seen.y]]), np.array([[seen.vx, seen.vy]])
        columns = optics.bearings(xy, velocity).columns()
        return {name: number(column[0], BEARING_DIGITS) for name, column in columns.items()}

    def _tell(self, record: dict[str, Any], *, last: bool = False) -> None:
        line = to_line(record)
        if self._hook is not None:
            self._hook.offer(record, line)
        if self._file is not None:
            self._file.write(line, last=last)
        if self._stdout:
            try:
                sys.stdout.write(line)
                sys.stdout.flush()
            except OSError as error:
                raise StreamError(
                    f"cannot print events to standard output: {error.strerror or error}"
                ) from error
