"""What could not be written, and when to try again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.sinks.disk import Disk

CHECK_ROOM_SECONDS = 1.0
ROOM_TO_GO_ON = 1.2
"""Times the room to be left: some more, so that a recording does not stop and start in turns."""


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

    def attempt(self, where: Path, work: Callable[[], None]) -> bool:
        """Do some work on the disk; False where it fails: an ``OSError`` ends here, as a
        :meth:`fail`."""
        try:
            work()
        except OSError as error:
            self.fail(where, error)
            return False
        return True

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
