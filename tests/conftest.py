"""Fixtures for every test."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from fault_proxy import FaultProxy

# How long an example takes depends on what else runs on the machine.
hypothesis.settings.register_profile("irtrack", deadline=None)
hypothesis.settings.load_profile("irtrack")

SYSTEM_PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Converted networks go to a folder of the test run, not to the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Return the folder of shared material beside the checkout; skip the test without it."""
    shared = Path(__file__).resolve().parents[1].parent / "shared"
    if not shared.is_dir():
        pytest.skip("needs the folder 'shared' beside the checkout")
    return shared


@dataclass
class RtspServer:
    """A running RTSP server."""

    process: subprocess.Popen[str]
    """To be stopped or killed in the middle of a stream."""
    address: str
    """``rtsp://127.0.0.1:PORT/live``, without user and password."""

    @property
    def port(self) -> int:
        """On 127.0.0.1."""
        return int(self.address.split(":")[2].split("/")[0])


@pytest.fixture
def serve_rtsp() -> Iterator[Callable[..., RtspServer]]:
    """Give ``serve(clip, user="", password="")``: a real RTSP server on this machine, which plays
    the H.264 clip to whoever connects, until the test is over; ``"live"`` is an endless stream."""
    with ExitStack() as servers:

        def serve(clip: Path | str, user: str = "", password: str = "") -> RtspServer:
            return servers.enter_context(_rtsp_server(clip, user, password))

        yield serve


@pytest.fixture
def fault_proxy() -> Iterator[FaultProxy]:
    """A proxy on this machine that leads nowhere yet: see :class:`fault_proxy.FaultProxy`."""
    with FaultProxy() as proxy:
        yield proxy


@contextmanager
def _rtsp_server(clip: Path | str, user: str, password: str) -> Iterator[RtspServer]:
    """Run ``sources/rtsp_server.py`` with the system's Python; skip where it cannot run."""
    if not Path(SYSTEM_PYTHON).exists():
        pytest.skip(f"needs {SYSTEM_PYTHON} with the bindings of GStreamer's RTSP server")
    command = [SYSTEM_PYTHON, str(Path(__file__).parent / "sources" / "rtsp_server.py"), str(clip)]
    if user:
        command += ["--user", user, "--password", password]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            port = process.stdout.readline().strip()
            if not port:
                error = "".join(process.stderr.read().strip().splitlines()[-1:])
                if "Error" in error and ("gi" in error or "Gst" in error):
                    pytest.skip(
                        "needs gir1.2-gst-rtsp-server-1.0, python3-gi and "
                        f"gstreamer1.0-plugins-good, -bad and -ugly: {error}"
                    )
                pytest.fail(f"the RTSP server did not start: {error}")
            yield RtspServer(process, f"rtsp://127.0.0.1:{port}/live")
        finally:
            process.kill()
