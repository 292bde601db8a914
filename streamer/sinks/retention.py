"""When files end, and which of the finished ones stay: by age and by room."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from configs.schema import ClipSettings, LogFileSettings, RecordSettings

log = logging.getLogger(__name__)

TRY_AGAIN = "cannot delete %s: %s; it is tried again, and counts until then"
AUTO_SEGMENT_SECONDS = 600.0
"""An MP4's index waits in memory until its end: this keeps it below 2 MB at 30 frames a second."""
AUTO_LOG_SECONDS = 86400.0
AUTO_LOG_MB = 100.0
AUTO_LOGS_GB = 10.0
"""Of frames.jsonl with all details this is a week of a quiet scene, of tracks.txt and of
events.jsonl it is months."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a file is long enough, and which finished ones stay. None: no limit."""

    seconds: float | None = None
    bytes: float | None = None
    keep_seconds: float | None = None
    keep_bytes: float | None = None

    @classmethod
    def of(cls, settings: RecordSettings, *, live: bool) -> Limits:
        """What the settings say of a recording, for a source that is live or a file."""
        endless = live or settings.keep_hours is not None or settings.keep_gb is not None
        return cls(
            _chosen(settings.segment_seconds, AUTO_SEGMENT_SECONDS if endless else None),
            _times(settings.segment_mb, 1e6),
            _times(settings.keep_hours, 3600.0),
            _times(settings.keep_gb, 1e9),
        )

    @classmethod
    def of_clips(cls, settings: ClipSettings) -> Limits:
        """What they say of clips, which end by themselves."""
        return cls(
            keep_seconds=_times(settings.keep_hours, 3600.0),
            keep_bytes=_times(settings.keep_gb, 1e9),
        )

    @classmethod
    def of_logs(cls, settings: LogFileSettings, *, live: bool) -> Limits:
        """What they say of each log, for a source that is live or a file."""
        keep_gb = _chosen(settings.keep_gb, AUTO_LOGS_GB if live else None)
        endless = live or settings.keep_hours is not None or keep_gb is not None
        return cls(
            _chosen(settings.segment_seconds, AUTO_LOG_SECONDS if endless else None),
            _times(_chosen(settings.segment_mb, AUTO_LOG_MB if endless else None), 1e6),
            _times(settings.keep_hours, 3600.0),
            _times(keep_gb, 1e9),
        )


_Mark = tuple[int, int]
"""By its size and the time of its last change a file is known again, also on a disk that was
plugged in anew: the disk's number changes then, and not every file system keeps the file's."""


def _mark(path: Path) -> _Mark | None:
    """A file's mark; None where there is no such file.

    Raises:
        OSError: that cannot be found out.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def _chosen(value: Literal["auto"] | float | None, auto: float | None) -> float | None:
    return auto if value == "auto" else value


def _times(value: float | None, unit: float) -> float | None:
    return None if value is None else value * unit


class Retention:
    """Knows the files that this run has finished, and deletes those that need not be kept.

    Files of other runs and open files are never touched, not even where one lies at the path of a
    file of ours by now: another disk may be plugged in, with the folder of an earlier run on it.
    Several writers may share one: its limits then hold for all their files together. Times are by
    the writers' clock: of videos the source's own, of logs the disk's.

    Args:
        limits: ``keep_seconds``, and ``keep_bytes``, open files included.
    """

    def __init__(self, limits: Limits) -> None:
        self._seconds = limits.keep_seconds
        self._bytes = limits.keep_bytes
        # By the time of the end: a heap.
        self._finished: list[tuple[float, int, Path, int, _Mark | None]] = []
        self._numbers = itertools.count()
        self._total = 0
        self._open: dict[Path, int] = {}
        self._stuck: set[Path] = set()
        self.deleted = 0
        """Files deleted so far."""

    def grow(self, path: Path, size: int, now: float) -> None:
        """An open file has so many bytes."""
        self._open[path] = size
        self.enforce(now)

    def finish(self, path: Path, size: int, end: float) -> None:
        """A file is finished, closed, and may be deleted from now on.

        Args:
            path: of the file.
            size: bytes.
            end: when its last picture or line was, s.
        """
        self._open.pop(path, None)
        mark = None
        with contextlib.suppress(OSError):  # it cannot be known again: it stays
            mark = _mark(path)
        if mark is not None and mark[0] != size:  # another disk is there already
            mark = None
        heapq.heappush(self._finished, (end, next(self._numbers), path, size, mark))
        self._total += size
        self.enforce(end)

    def drop(self, path: Path) -> None:
        """An open file is gone."""
        self._open.pop(path, None)

    def enforce(self, now: float) -> None:
        """Delete what need not be kept at this time."""
        stuck = []
        while self._finished and self._too_much(now):
            oldest = heapq.heappop(self._finished)
            _, _, path, size, mark = oldest
            try:
                ours = _mark(path) in (mark, None)
                if ours:
                    path.unlink(missing_ok=True)
            except OSError as error:
                told = path in self._stuck
                reason = error.strerror or error
                log.log(logging.DEBUG if told else logging.WARNING, TRY_AGAIN, path, reason)
                stuck.append(oldest)
            else:
                self._total -= size
                self.deleted += ours
                if ours:
                    log.debug("deleted %s: no longer kept", path)
                else:
                    log.warning("%s is not the file that was written there: it stays", path)
        for each in stuck:
            heapq.heappush(self._finished, each)
        self._stuck |= {path for _, _, path, _, _ in stuck}

    def _too_much(self, now: float) -> bool:
        if self._seconds is not None and now - self._finished[0][0] > self._seconds:
            return True
        if self._bytes is None or len(self._finished) + len(self._open) == 1:
            return False  # the only file stays, however large
        return self._total + sum(self._open.values()) > self._bytes
