import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamer.sinks.window import Window
from streamer.types import StreamError

ROOT = Path(__file__).parents[2]
TOOLS = ("Xvfb", "xdotool", "import")
missing = [tool for tool in TOOLS if shutil.which(tool) is None]
needs_xvfb = pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)} on the PATH")

PROGRAM = """
import sys, threading, time
import numpy as np
from streamer.sinks.window import Window
window = Window(max_fps=30)
picture = np.zeros((240, 320, 3), np.uint8)
picture[:, 160:] = (40, 160, 220)
stop = threading.Event()
def offer():
    while not stop.wait(0.02):
        window.offer("gate camera", picture)
thread = threading.Thread(target=offer, daemon=True)
thread.start()
deadline = time.monotonic() + 40
while window.pump():
    if time.monotonic() > deadline:
        sys.exit("nobody closed the window")
stop.set(); thread.join(); window.close(); window.close()
assert not window.pump()
print("closed")
"""


# What a window manager sends when somebody clicks on the cross; Xvfb has no window manager.
CLOSER = """
import ctypes as c, sys
class Message(c.Structure):
    _fields_ = [("type", c.c_int), ("serial", c.c_ulong), ("send_event", c.c_int),
                ("display", c.c_void_p), ("window", c.c_ulong), ("kind", c.c_ulong),
                ("format", c.c_int), ("data", c.c_long * 5), ("space", c.c_long * 24)]
x = c.CDLL("libX11.so.6")
x.XOpenDisplay.restype, x.XInternAtom.restype = c.c_void_p, c.c_ulong
display, window = c.c_void_p(x.XOpenDisplay(None)), int(sys.argv[1])
protocols, delete = (x.XInternAtom(display, n, 0) for n in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
event = Message(33, 0, 1, display, window, protocols, 32, (c.c_long * 5)(delete))
assert x.XSendEvent(display, c.c_ulong(window), 0, c.c_long(0), c.byref(event))
x.XCloseDisplay(display)
"""


@pytest.fixture
def screen() -> Iterator[dict[str, str]]:
    process = subprocess.Popen(
        ["Xvfb", "-noreset", "-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    number = process.stdout.readline().decode().strip()
    yield {**os.environ, "DISPLAY": f":{number}"}
    process.terminate()
    process.wait(10)
    process.stdout.close()


def start(program: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def xdotool(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        ["xdotool", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout


def wait_for_window(environment: dict[str, str], process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        found = xdotool(environment, "search", "--onlyvisible", "--name", "^gate camera$").split()
        if found:
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"no window: {process.communicate(timeout=5)}")


@needs_xvfb
@pytest.mark.parametrize("way", ["key", "Escape", "close"])
def test_a_real_window_shows_the_picture_and_closes(
    tmp_path: Path, screen: dict[str, str], way: str
) -> None:
    with start(PROGRAM, screen) as process:
        window = wait_for_window(screen, process)
        shot = tmp_path / "screen.png"
        deadline = time.monotonic() + 15
        orange = np.zeros((1, 1), bool)
        while orange.sum() < 20_000 and time.monotonic() < deadline:
            time.sleep(0.2)
            if deadline - 12 < time.monotonic():
                # On a loaded machine Qt now and then misses the one event that says a window can
                # be seen, where no window manager gives it another. Mapped again it has another.
                xdotool(screen, "windowunmap", "--sync", window, "windowmap", "--sync", window)
            subprocess.run(["import", "-window", "root", str(shot)], env=screen, check=True)
            seen = cv2.imread(str(shot)).astype(int)
            orange = (np.abs(seen - (40, 160, 220)) < 12).all(axis=2)
        assert orange.sum() >= 20_000  # half of the picture
        if way == "close":
            subprocess.run([sys.executable, "-c", CLOSER, window], env=screen, check=True)
        else:
            xdotool(screen, "windowfocus", "--sync", window)
            xdotool(screen, "key", "--window", window, "q" if way == "key" else way)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert out == "closed\n"
    assert not re.search("font|Qt", err, re.IGNORECASE)


def test_without_a_screen_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("other systems always have a screen")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(StreamError, match="--no-display") as caught:
        Window(30.0)
    assert "\n" not in str(caught.value)


def test_a_screen_that_is_not_there_is_an_error_and_no_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("other systems always have a screen")
    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.setenv("QT_QPA_FONTDIR", "/")  # put back afterwards
    monkeypatch.setenv("QT_LOGGING_RULES", "")
    with pytest.raises(StreamError, match="--no-display") as caught:
        Window(30.0)
    assert ":987" in str(caught.value)
    assert "\n" not in str(caught.value)
