"""The window. Pictures come from the sinks' threads; only the main thread touches the screen."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.sinks.screen import ScreenProbe

ESCAPE = 27


class Window:
    """A window for each source, titled with its name.

    Any thread may :meth:`offer` pictures; the latest wins. The main thread calls :meth:`pump` over
    and over, as long as it returns True, and :meth:`close` at the end.
    """

    def __init__(self, max_fps: float) -> None:
        """Check that a window can be opened at all.

        Raises:
            StreamError: there is no screen, or OpenCV cannot use it.
        """
        self._probe = ScreenProbe()
        self._interval = 1.0 / max_fps
        self._lock = threading.Lock()
        self._latest: dict[str, NDArray[np.uint8]] = {}
        self._shown_at: dict[str, float] = {}
        self._closed: set[str] = set()
        self._stopped = False

    def offer(self, title: str, picture: NDArray[np.uint8]) -> None:
        """Show ``picture`` (H, W, 3 BGR, not changed afterwards) soon, unless a newer one comes."""
        with self._lock:
            self._latest[title] = picture

    def pump(self) -> bool:
        """Show what is due and look at the keyboard. Main thread only; waits some 10 ms.

        Returns:
            False when the user pressed q or Esc or closed the last window: time to stop.
        """
        if self._stopped:
            return False
        now = time.monotonic()
        with self._lock:
            due = {
                title: self._latest.pop(title)
                for title in tuple(self._latest)
                if now - self._shown_at.get(title, -1e9) >= self._interval
            }
        for title, picture in due.items():
            if title in self._closed:
                continue
            if title not in self._shown_at:
                _open(title, picture)
                self._probe.close()
            cv2.imshow(title, picture)
            self._shown_at[title] = now
        if not self._shown_at:
            time.sleep(0.01)  # without a window waitKey does not wait
            return True
        key = cv2.waitKey(10)
        for title in self._shown_at.keys() - self._closed:
            if not _is_open(title):
                self._closed.add(title)
        asked = key >= 0 and key & 0xFF in (ord("q"), ord("Q"), ESCAPE)
        if asked or self._closed >= self._shown_at.keys():
            self._stopped = True
        return not self._stopped

    def close(self) -> None:
        """Close every window. Main thread only; idempotent."""
        self._stopped = True
        self._probe.close()
        if self._shown_at:
            cv2.destroyAllWindows()
            cv2.waitKey(1)  # Qt closes in its event loop
            self._shown_at.clear()


def _open(title: str, picture: NDArray[np.uint8]) -> None:
    height, width = picture.shape[:2]
    cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
    cv2.resizeWindow(title, width, height)


def _is_open(title: str) -> bool:
    try:
        return cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) >= 1
    except cv2.error:  # how Qt's side of OpenCV says that there is no such window any more
        return False
