"""A file that is flushed to the disk every second: a power cut takes no more than that."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.sinks.disk import Disk


class DiskFile:
    """A new file, written to without a buffer and flushed to the disk every second.

    One thread writes; the disk's own one flushes.

    Args:
        path: of the file.
        disk: where it lies.
        held: what is written waits in memory until :meth:`release`: only then the file is made.
        keep: the file is there, and is gone on with after so many bytes.

    Raises:
        OSError: it is there already, or with ``keep`` is not, or cannot be made.
    """

    def __init__(
        self, path: Path, disk: Disk, *, held: bool = False, keep: int | None = None
    ) -> None:
        self.path = path
        self.size = keep or 0
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
        if keep is not None:
            self._go_on(keep)
        elif not held:
            self._make()

    @property
    def removed(self) -> bool:
        """True where nobody can find the file any more: it was closed, it or its folder was
        removed, or the disk does not know it."""
        if self.closed or self._file is None:
            return self.closed
        try:
            return os.fstat(self._file.fileno()).st_nlink == 0
        except OSError:  # a folder on the network that was made anew
            return True

    @property
    def found(self) -> bool:
        """True where its path leads to it: else it was removed, or another disk is there now."""
        if self._file is None or self.removed:
            return False
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except OSError:
            return False

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
            try:
                self._flush(self._file)
            except OSError as error:
                # The system tells once. Flushing again would pass, and what is lost stays lost.
                self._dirty, self._trouble = True, error
                raise

    def sync_in_background(self) -> None:
        """:meth:`sync` for the disk's thread: an error waits for the next :meth:`write`, or for
        the end."""
        with contextlib.suppress(OSError):
            self.sync()

    def close(self) -> None:
        """Flush and close. Idempotent.

        Raises:
            OSError: what was written did not get to the disk, now or before.
        """
        if self.closed:
            return
        try:
            self.sync()
            if self._trouble is not None:
                raise self._trouble
        finally:
            self._disk.remove(self)
            with self._lock:
                self.closed = True
                if self._file is not None:
                    self._file.close()

    def delete(self) -> None:
        """Close the file and remove it, if it was made and still lies at its path. Idempotent.

        Raises:
            OSError: that cannot be done.
        """
        mine = self.found
        try:
            self.close()
        finally:
            if mine:
                self.path.unlink()

    def _make(self) -> io.FileIO:
        self._file = self.path.open("xb", buffering=0)
        self._disk.add(self)
        return self._file

    def _go_on(self, size: int) -> None:
        self._file = self.path.open("r+b", buffering=0)
        self._disk.add(self)
        try:
            self.cut_back(size)
        except OSError:
            with contextlib.suppress(OSError):  # the first error is the one to be told
                self.close()
            raise

    def _flush(self, file: io.FileIO) -> None:
        if self.removed:
            raise FileNotFoundError(errno.ENOENT, "it was removed")
        if not self._dirty:
            return
        self._dirty = False
        os.fsync(file.fileno())
        if self._fresh:  # its name, too
            _sync_folder(self.path.parent)
            self._fresh = False

    def _put(self, data: bytes) -> None:
        file = self._file
        if file is None:
            file, data = self._make(), self._held + data
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        self._dirty = True
        self.size = max(self.size, file.tell())


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # folders are flushed where the system has that
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
