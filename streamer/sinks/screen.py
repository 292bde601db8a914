"""Finds out whether a window can be opened, without risking the program."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from streamer.types import StreamError

PROBE_SECONDS = 20.0
ADVICE = "give --no-display: the annotated video is recorded all the same"
_PROGRAM = """
import sys, cv2
cv2.namedWindow("probe")
cv2.destroyAllWindows()
print("ready", flush=True)
sys.stdin.read()
"""


class ScreenProbe:
    """Another process that tried a window, and holds the screen until :meth:`close`.

    Qt ends the whole process where it cannot reach the screen, so another one goes first. It stays
    until the first real window is there, because a virtual screen (Xvfb) starts anew when its last
    client leaves, and lets nobody in meanwhile.

    Raises:
        StreamError: no window can be opened; the message says what to do.
    """

    def __init__(self) -> None:
        if sys.platform.startswith("linux"):
            if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
                raise StreamError(f"no screen for a window: DISPLAY is not set; {ADVICE}")
            _quieten_qt()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "QT_LOGGING_RULES": ""},  # here its warnings are the reason
            start_new_session=True,  # Ctrl-C is for the program itself
        )
        complaint = self._complaint()
        if complaint is not None:
            self.close()
            raise StreamError(f"cannot open a window ({complaint}); {ADVICE}")

    def close(self) -> None:
        """Let go of the screen. Idempotent."""
        if self._process.returncode is not None:
            return
        try:
            self._process.communicate(timeout=2.0)  # closes its input, which it waits for
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _complaint(self) -> str | None:
        """Wait for the other process's word: None, or the first line of what went wrong."""
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None and stderr is not None
        alarm = threading.Timer(PROBE_SECONDS, self._process.kill)
        alarm.start()
        try:
            if stdout.readline():
                return None
            lines = [line.strip() for line in stderr if line.strip()]
        finally:
            alarm.cancel()
            alarm.join()
        if not lines:
            return f"the screen did not answer within {PROBE_SECONDS:g} s"
        return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def _quieten_qt() -> None:
    """Point Qt to fonts that are there: the wheel has none, and Qt warns once a text."""
    fonts = Path(os.environ.get("QT_QPA_FONTDIR", ""))
    if not fonts.is_dir():
        system = Path("/usr/share/fonts")
        os.environ["QT_QPA_FONTDIR"] = str(system if system.is_dir() else Path("/"))
    os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")
