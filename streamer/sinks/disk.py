"""Files that a kill or a power cut leaves whole but for the last second, and what to do when the
disk is full or gone: every output of a source shares one :class:`Disk`.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import math
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from configs.schema import DiskSettings

log = logging.getLogger(__name__)

SYNC_SECONDS = 1.0
"""What was written is on the disk itself, safe from a power cut, after about this."""
CHECK_ROOM_SECONDS = 1.0
ROOM_TO_GO_ON = 1.2
"""Times the room to be left: some more, so that a recording does not stop and start in turns."""
MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class OutputReport:
    """What became of one output, for the summary and the exit code."""

    what: str
    """The output's name: ``annotated``, ``tracks.txt``, ..."""
    lost: int
    """How many could not be written of what :attr:`unit` says."""
    unit: str
    """``frames`` or ``lines``."""
    outages: int
    """How often the disk could not be written to."""
    reason: str | None
    """The latest outage's reason, one line; None where there was none."""
    broken: bool
    """True where it could not be written to at the end either."""


class DiskFile:
    """A new file, written to without a buffer and flushed to the disk every second.

    One thread writes; the disk's own one flushes.

    Args:
        path: of the file.
        disk: where it lies.
        held: what is written waits in memory until :meth:`release`: only then the file is made.

    Raises:
        OSError: it is there already or cannot be made.
    """

    def __init__(self, path: Path, disk: Disk, *, held: bool = False) -> None:
        self.path = path
        self.size = 0
        """Bytes written, the end of the file."""
        self.closed = False
        """True after :meth:`close`."""
        self._disk = disk
        self._lock = threading.Lock()  # the file is not closed while it is flushed
        self._trouble: OSError | None = None
        self._dirty = self._fresh = True
        self._waiting: bytearray | None = bytearray() if held else None
        self._held = b""
        self._file: io.FileIO | None = None
        if not held:
            self._make()

    @property
    def removed(self) -> bool:
        """True where nobody can find the file any more: it was closed, or it or its folder was
        removed."""
        if self.closed or self._file is None:
            return self.closed
        return os.fstat(self._file.fileno()).st_nlink == 0

    def release(self) -> None:
        """Let the next :meth:`write` make the file, what waits before it."""
        if self._file is None:
            self._held, self._waiting = bytes(self._waiting or b""), None

    def write(self, data: bytes) -> None:
        """Write all of ``data``.

        Raises:
            OSError: it cannot be written, or the file was removed, or what was written before did
                not get to the disk. Every later call raises it, too, until :meth:`cut_back`.
        """
        if self._trouble is not None:
            raise self._trouble
        if self._waiting is not None:
            self._waiting += data
        else:
            try:
                self._put(data)
            except OSError as error:
                self._trouble = error
                raise

    def seek(self, offset: int) -> None:
        """Go to a place. Before anything is overwritten, all that follows it is on the disk.

        Raises:
            OSError: it did not get there.
        """
        if self._file is not None:
            if offset < self.size:
                self.sync()
            self._file.seek(offset)

    def cut_back(self, size: int) -> None:
        """Forget an error and what was written beyond ``size`` bytes.

        Raises:
            OSError: that cannot be done.
        """
        if self._file is not None and not self.closed:
            self._file.truncate(size)
            self._file.seek(size)
        self.size, self._trouble, self._dirty = size, None, True

    def sync(self) -> None:
        """Return when everything written is on the disk. From any thread.

        Raises:
            OSError: it did not get there, or the file was removed.
        """
        with self._lock:
            if self.closed or self._file is None:
                return
            if self.removed:
                raise FileNotFoundError(errno.ENOENT, "it was removed")
            if not self._dirty:
                return
            self._dirty = False
            os.fsync(self._file.fileno())
            if self._fresh:  # its name, too
                _sync_folder(self.path.parent)
                self._fresh = False

    def sync_in_background(self) -> None:
        """:meth:`sync` for the disk's thread: an error waits for the next :meth:`write`."""
        try:
            self.sync()
        except OSError as error:
            self._trouble = error

    def close(self) -> None:
        """Flush and close. Idempotent.

        Raises:
            OSError: what was written did not get to the disk.
        """
        if self.closed:
            return
        try:
            self.sync()
        finally:
            self._disk.remove(self)
            with self._lock:
                self.closed = True
                if self._file is not None:
                    self._file.close()

    def delete(self) -> None:
        """Close the file and remove it, if it was made and nobody else removed it. Idempotent.

        Raises:
            OSError: that cannot be done.
        """
        mine = self._file is not None and not self.closed and not self.removed
        try:
            self.close()
        finally:
            if mine:
                self.path.unlink()

    def _make(self) -> io.FileIO:
        self._file = self.path.open("xb", buffering=0)
        self._disk.add(self)
        return self._file

    def _put(self, data: bytes) -> None:
        file = self._file
        if file is None:
            file, data = self._make(), self._held + data
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        self._dirty = True
        self.size = max(self.size, file.tell())


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
        self._prefix = f"{name}: " if name else ""
        self._outputs: list[Output] = []
        self._lock = threading.Lock()
        self._files: set[DiskFile] = set()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def output(self, what: str, unit: str = "frames", *, needs_room: bool = False) -> Output:
        """The account of a new output; see :class:`Output`."""
        made = Output(self, what, unit, needs_room=needs_room)
        self._outputs.append(made)
        return made

    def reports(self) -> list[OutputReport]:
        """What became of every output so far."""
        return [output.report() for output in self._outputs]

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

    def tell(self, output: Output, where: Path, reason: str) -> None:
        """Say that an output cannot be written, unless another's error line said the same."""
        known = any(each.reason == reason for each in self._outputs if each is not output)
        log.log(
            logging.DEBUG if known else logging.ERROR,
            "%scannot write %s: %s; detection goes on, and it is tried again every %g s",
            self._prefix, where, reason, self.retry_seconds,
        )  # fmt: skip

    def tell_over(self, where: Path, lost: int, unit: str) -> None:
        """Say that an output is written again."""
        log.warning("%swriting %s again; %d %s are missing", self._prefix, where, lost, unit)

    def add(self, file: DiskFile) -> None:
        """Flush this file from now on."""
        with self._lock:
            self._files.add(file)
            if self._thread is None:
                self._stop.clear()
                self._thread = threading.Thread(target=self._work, name="sync", daemon=True)
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
        """Close what its writers left open, having failed themselves. Idempotent."""
        with self._lock:
            left = tuple(self._files)
        for file in left:
            with contextlib.suppress(OSError):  # the writer's own failure is the one to be told
                file.close()

    def _work(self) -> None:
        while not self._stop.wait(SYNC_SECONDS):
            with self._lock:
                files = tuple(self._files)
            for file in files:
                file.sync_in_background()


class Output:
    """The account of one output: whether it can be written now, and what it has lost.

    An outage begins with :meth:`fail`, which is told once. Then :meth:`ready` is false but for a
    moment every so often. The outage is over with the first :meth:`succeed`.

    Args:
        disk: where it goes.
        what: its name.
        unit: of what gets lost.
        needs_room: it is large, and leaves the disk's last megabytes to the others.
    """

    def __init__(self, disk: Disk, what: str, unit: str, *, needs_room: bool) -> None:
        self.reason: str | None = None
        """Why it cannot be written now; None where it can."""
        self._disk = disk
        self._what = what
        self._unit = unit
        self._needs_room = needs_room
        self._next_try = self._next_look = -math.inf
        self._lost = self._lost_before = self._outages = 0
        self._latest: str | None = None

    def ready(self) -> bool:
        """Whether to start writing now."""
        if self.reason is None:
            return True
        now = self._disk.clock()
        if now < self._next_try:
            return False
        if self._needs_room and self._disk.lack_of_room(ROOM_TO_GO_ON) is not None:
            self._next_try = now + self._disk.retry_seconds
            return False
        return True

    def lack_of_room(self) -> OSError | None:
        """Why to stop writing; asks the disk once a second."""
        now = self._disk.clock()
        if not self._needs_room or now < self._next_look:
            return None
        self._next_look = now + CHECK_ROOM_SECONDS
        return self._disk.lack_of_room()

    def fail(self, where: Path, error: OSError) -> None:
        """It could not be written."""
        reason = error.strerror or str(error)
        if self.reason is None:
            self._outages += 1
            self._lost_before = self._lost
            self._disk.tell(self, where, reason)
        self.reason = self._latest = reason
        self._next_try = self._disk.clock() + self._disk.retry_seconds

    def lose(self, count: int = 1) -> None:
        """So many frames, or lines, were not written."""
        self._lost += count

    def succeed(self, where: Path) -> None:
        """Something was written."""
        if self.reason is not None:
            self.reason = None
            self._disk.tell_over(where, self._lost - self._lost_before, self._unit)

    def report(self) -> OutputReport:
        """What became of it."""
        broken = self.reason is not None
        return OutputReport(self._what, self._lost, self._unit, self._outages, self._latest, broken)


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # folders are flushed where the system has that
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
