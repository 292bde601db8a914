"""Deletes the oldest finished files of a recording, by age and by room."""

from __future__ import annotations

import heapq
import itertools
import logging
from pathlib import Path

from configs.schema import ClipSettings, RecordSettings

log = logging.getLogger(__name__)

TRY_AGAIN = "cannot delete %s: %s; it is tried again, and counts until then"


class Retention:
    """Knows the files that this run has finished, and deletes those that need not be kept.

    Files of other runs and open files are never touched. Several writers may share one: its
    limits then hold for all their files together.

    Args:
        settings: ``keep_hours``, by the source's own clock, and ``keep_gb``, open files included.
    """

    def __init__(self, settings: RecordSettings | ClipSettings) -> None:
        self._seconds = None if settings.keep_hours is None else settings.keep_hours * 3600.0
        self._bytes = None if settings.keep_gb is None else settings.keep_gb * 1e9
        self._finished: list[tuple[float, int, Path, int]] = []  # by the pts of the end: a heap
        self._numbers = itertools.count()
        self._total = 0
        self._open: dict[Path, int] = {}
        self._stuck: set[Path] = set()
        self.deleted = 0
        """Files deleted so far."""

    def grow(self, path: Path, size: int, now_pts: float) -> None:
        """An open file has so many bytes."""
        self._open[path] = size
        self.enforce(now_pts)

    def finish(self, path: Path, size: int, end_pts: float) -> None:
        """A file is finished, and may be deleted from now on.

        Args:
            path: of the file.
            size: bytes.
            end_pts: of its last picture, seconds of the source's clock.
        """
        self._open.pop(path, None)
        heapq.heappush(self._finished, (end_pts, next(self._numbers), path, size))
        self._total += size
        self.enforce(end_pts)

    def drop(self, path: Path) -> None:
        """An open file is gone."""
        self._open.pop(path, None)

    def enforce(self, now_pts: float) -> None:
        """Delete what need not be kept at this time of the source's clock."""
        stuck = []
        while self._finished and self._too_much(now_pts):
            oldest = heapq.heappop(self._finished)
            _, _, path, size = oldest
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                told = path in self._stuck
                reason = error.strerror or error
                log.log(logging.DEBUG if told else logging.WARNING, TRY_AGAIN, path, reason)
                stuck.append(oldest)
            else:
                self._total -= size
                self.deleted += 1
                log.debug("deleted %s: no longer kept", path)
        for each in stuck:
            heapq.heappush(self._finished, each)
        self._stuck |= {path for _, _, path, _ in stuck}

    def _too_much(self, now_pts: float) -> bool:
        if self._seconds is not None and now_pts - self._finished[0][0] > self._seconds:
            return True
        if self._bytes is None or len(self._finished) + len(self._open) == 1:
            return False  # the only file stays, however large
        return self._total + sum(self._open.values()) > self._bytes
