"""Where the files of a source lie: all its outputs share one :class:`Disk`."""

from __future__ import annotations

import errno
import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from configs.schema import DiskSettings
from streamer.patience import done_within
from streamer.sinks.disk_file import DiskFile
from streamer.sinks.outages import Output, OutputReport

log = logging.getLogger(__name__)

SYNC_SECONDS = 1.0
"""What was written is on the disk itself, safe from a power cut, after about this."""
CLOSE_SECONDS = 3.0
NO_ANSWER = "the disk does not answer"
MEGABYTE = 1e6


class Disk:
    """Where a source's files go: flushes them once a second, and knows of outages.

    Its thread runs while a file is open.

    Args:
        folder: the source's; it exists.
        settings: how much room to leave, and how often to try again.
        name: the source's, for log lines.
        clock: seconds that do not go back.
    """

    def __init__(
        self,
        folder: Path,
        settings: DiskSettings | None = None,
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = settings or DiskSettings()
        self.folder = folder
        self.retry_seconds = settings.retry_seconds
        self.min_free_mb = settings.min_free_mb
        self.clock = clock
        self._error: BaseException | None = None
        self._prefix = f"{name}: " if name else ""
        self._outputs: list[Output] = []
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._files: set[DiskFile] = set()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()  # the thread's: each has one of its own
        self._unclosed: dict[str, str] = {}

    def output(self, what: str, unit: str = "frames", *, needs_room: bool = False) -> Output:
        """The account of a new output; see :class:`Output`."""
        made = Output(self, what, unit, needs_room=needs_room)
        self._outputs.append(made)
        return made

    def reports(self) -> list[OutputReport]:
        """What became of every output so far, and of files that :meth:`close` could not close."""
        unclosed = dict(self._unclosed)
        reports = [output.report() for output in self._outputs]
        reports = [
            replace(each, reason=reason, broken=True)
            if (reason := unclosed.pop(each.what, None)) is not None
            else each
            for each in reports
        ]
        return reports + [
            OutputReport(name, 0, "frames", 1, reason, True) for name, reason in unclosed.items()
        ]

    def lack_of_room(self, share: float = 1.0) -> OSError | None:
        """Why nothing large should be written now; None where there is room.

        Args:
            share: of ``min_free_mb``, below which there is none.
        """
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            return error
        if free >= share * self.min_free_mb * MEGABYTE:
            return None
        return OSError(
            errno.ENOSPC,
            f"less than output.disk.min_free_mb={self.min_free_mb:g} MB are free there",
        )

    def check(self) -> None:
        """Raise, once, what ended the thread that flushes: no error of the disk, but a bug.

        Raises:
            Exception: that.
        """
        error, self._error = self._error, None
        if error is not None:
            raise error

    def tell(self, output: Output, where: Path, reason: str) -> None:
        """Say that an output cannot be written, unless the same was said of another meanwhile."""
        if not any(each.reason for each in self._outputs if each is not output):
            self._told.clear()
        log.log(
            logging.DEBUG if reason in self._told else logging.ERROR,
            "%scannot write %s: %s; detection goes on, and it is tried again every %g s",
            self._prefix, where, reason, self.retry_seconds,
        )  # fmt: skip
        self._told.add(reason)

    def tell_over(self, where: Path, lost: int, unit: str) -> None:
        """Say that an output is written again."""
        log.warning("%swriting %s again; %d %s are missing", self._prefix, where, lost, unit)

    def add(self, file: DiskFile) -> None:
        """Flush this file from now on."""
        with self._lock:
            self._files.add(file)
            if self._thread is None:
                self._stop = threading.Event()
                self._thread = threading.Thread(
                    target=self._work, args=(self._stop,), name="sync", daemon=True
                )
                self._thread.start()

    def remove(self, file: DiskFile) -> None:
        """Flush this file no more."""
        with self._lock:
            self._files.discard(file)
            if self._files or self._thread is None:
                return
            thread, self._thread = self._thread, None
            self._stop.set()
        thread.join()

    def close(self) -> None:
        """Close what its writers left open, having failed themselves. Idempotent.

        It takes 3 s at most. What could not be closed stands in :meth:`reports`.
        """
        with self._lock:
            left = tuple(self._files)

        def close_all() -> None:
            for file in left:
                try:
                    file.close()
                except OSError as error:
                    self._unclosed[file.path.name] = error.strerror or str(error)

        if left and not done_within(CLOSE_SECONDS, close_all):
            self._unclosed |= {each.path.name: NO_ANSWER for each in left if not each.closed}

    def _work(self, stop: threading.Event) -> None:
        try:
            while not stop.wait(SYNC_SECONDS):
                with self._lock:
                    files = tuple(self._files)
                for file in files:
                    file.sync_in_background()
        except BaseException as error:
            self._error = error  # for a sink's thread, which takes it to the pipeline
