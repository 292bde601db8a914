"""Timestamps that always increase, whatever a container or a camera says."""

from __future__ import annotations

BACKWARD_JUMP_SECONDS = 1.0
"""Going back further than this is a clock that started anew, not a slip."""


class StreamClock:
    """Passes a stream's own timestamps on, and mends what cannot be right.

    * A missing timestamp is the last one plus the average frame period (the first is 0).
    * One that repeats or slips back becomes the last one plus half a period: time has passed, if it
      is not known how much, and the next good timestamp counts again as it is.
    * A jump back by more than a second (recordings joined, a camera that restarted) continues one
      period after the last; the frames after it keep their distances.

    Args:
        period_seconds: the average time from frame to frame.
    """

    def __init__(self, period_seconds: float) -> None:
        self.period_seconds = period_seconds
        self._last: float | None = None
        self._offset = 0.0

    def __call__(self, stated_seconds: float | None) -> float:
        """The time of the next frame, given what the stream states; later than any before."""
        last, period = self._last, self.period_seconds
        if stated_seconds is None:
            now = 0.0 if last is None else last + period
        else:
            now = stated_seconds + self._offset
            if last is not None and now < last - BACKWARD_JUMP_SECONDS:
                self._offset += last + period - now
                now = last + period
            elif last is not None and now <= last:
                now = last + period / 2
        self._last = now
        return now
