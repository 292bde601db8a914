"""A real camera's stream with a proxy on the way, through the pipeline: whatever happens to one
source, it is reached again, time goes on, and the other source notices nothing."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_proxy import FaultProxy
from pipeline_fakes import FRAME, FakeDetector, FakeSink, FakeSource, FakeTracker, settings
from resident_memory import resident_megabytes

from streamer.pipeline import Pipeline, RunReport, Stream
from streamer.sources.network import NetworkSource
from streamer.stats import SourceSnapshot

Serve = Callable[..., Any]

BACKOFF_CAP_SECONDS = 1.0
STALL_SECONDS = 1.5
PATIENCE_SECONDS = 30.0
"""For what a test waits for without measuring it: this machine may be busy."""
LATE_SECONDS = 3.0
"""By so much a busy machine may be late. A source that waited for the other would wait longer."""
END_SECONDS = 10.0
"""Promised are 5."""


class Run:
    """A pipeline in the background: a camera behind a proxy, and a healthy source beside it."""

    def __init__(
        self,
        address: str,
        *,
        max_attempts: int | None = None,
        longest_wait: float = BACKOFF_CAP_SECONDS,
    ) -> None:
        self.sink = FakeSink()
        self.beside = FakeSink()
        chosen = settings(
            source={
                "live_queue": 64,
                "reconnect": {
                    "initial_seconds": 0.2,
                    "max_seconds": longest_wait,
                    "max_attempts": max_attempts,
                },
                "watchdog": {"stall_seconds": STALL_SECONDS},
                "rtsp": {"open_timeout_seconds": 2, "read_timeout_seconds": 4},
            }
        )
        healthy = FakeSource("healthy", live=True, sessions=[[FRAME] * 1_000_000], interval=0.02)
        camera = NetworkSource(address, chosen.source, "camera")
        self.pipeline = Pipeline(
            [
                Stream(camera, FakeTracker(), (self.sink,)),
                Stream(healthy, FakeTracker(), (self.beside,)),
            ],
            FakeDetector(),
            chosen,
        )
        self.report: RunReport | None = None
        self.states: list[str] = []

    @property
    def camera(self) -> SourceSnapshot:
        return self.pipeline.snapshot().sources[0]

    def body(self) -> None:
        self.report = self.pipeline.run(
            lambda run: self.states.append(run.sources[0].state.value), tick_seconds=0.05
        )

    def wait_for(self, what: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> float:
        """Wait; how long it took, seconds."""
        began = time.monotonic()
        while not what():
            assert time.monotonic() - began < seconds, (self.camera, self.states[-5:])
            time.sleep(0.01)
        return time.monotonic() - began

    def wait_for_frames(self, more: int = 5, seconds: float = PATIENCE_SECONDS) -> float:
        """Wait until the camera gave some more; how long it took, seconds."""
        wanted = len(self.sink.results) + more
        return self.wait_for(lambda: len(self.sink.results) >= wanted, seconds)


@contextmanager
def running(address: str, **more: Any) -> Iterator[Run]:
    """A run that is stopped, soon, when the test is through with it."""
    run = Run(address, **more)
    thread = threading.Thread(target=run.body)
    thread.start()
    try:
        yield run
    finally:
        run.pipeline.stop()
        began = time.monotonic()
        thread.join(PATIENCE_SECONDS)
        took = time.monotonic() - began
    assert took < END_SECONDS
    assert run.report is not None
    counts = run.report.snapshot.sources[0]
    assert counts.captured == counts.processed + counts.dropped + counts.corrupt


def assert_time_only_went_on(sink: FakeSink) -> None:
    """Timestamps and indices rise, and no step of time is longer than what really passed."""
    frames = [result.frame for result in sink.results]
    assert all(after.index > before.index for before, after in pairwise(frames))
    steps = np.diff([frame.pts_seconds for frame in frames])
    passed = np.diff([frame.captured_seconds for frame in frames])
    assert (steps > 0).all()
    assert (steps < passed + 2.0).all()  # frames that jammed come in a burst


def assert_untouched(sink: FakeSink) -> None:
    """The healthy source had no gap: nothing that happens to the camera holds it up."""
    arrivals = np.diff([result.frame.captured_seconds for result in sink.results])
    assert len(arrivals) > 10
    assert arrivals.max() < LATE_SECONDS


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line.getMessage() for line in caplog.records if line.name.startswith("streamer")]


@pytest.mark.parametrize(
    "away_seconds",
    [
        2.0,
        pytest.param(30.0, marks=pytest.mark.slow),
        pytest.param(300.0, marks=pytest.mark.slow),
    ],
)
def test_a_server_that_is_killed_and_comes_back_is_followed(
    serve_rtsp: Serve,
    fault_proxy: FaultProxy,
    caplog: pytest.LogCaptureFixture,
    away_seconds: float,
) -> None:
    caplog.set_level(logging.INFO)
    server = serve_rtsp("live")
    fault_proxy.upstream = server.port
    with running(fault_proxy.address()) as run:
        run.wait_for_frames()
        server.process.kill()
        run.wait_for(lambda: run.camera.state == "waiting")
        time.sleep(away_seconds)
        assert run.camera.reconnects == 0
        assert run.camera.tracks_live == 0
        fault_proxy.upstream = serve_rtsp("live").port
        took = run.wait_for_frames(seconds=BACKOFF_CAP_SECONDS + 15)
        run.wait_for_frames(20)
        end = run.camera
    assert took < BACKOFF_CAP_SECONDS + LATE_SECONDS + 5.0
    assert (end.reconnects, end.error) == (1, None)
    assert_time_only_went_on(run.sink)
    assert_untouched(run.beside)
    gap = max(np.diff([result.frame.pts_seconds for result in run.sink.results]))
    assert gap >= away_seconds  # tracks grow old by the time that really passed
    attempts = [line for line in lines_of(caplog) if "; attempt " in line]
    assert len(attempts) >= 2  # backing off is visible
    assert all(line.startswith("camera: rtsp://127.0.0.1:") for line in attempts)


def test_a_camera_that_is_absent_at_the_start_is_waited_for(
    serve_rtsp: Serve, fault_proxy: FaultProxy
) -> None:
    with running(fault_proxy.address()) as run:
        run.wait_for(lambda: fault_proxy.connections >= 2)
        assert run.camera.state == "waiting"
        assert len(run.beside.results) > 0
        fault_proxy.upstream = serve_rtsp("live").port
        run.wait_for_frames()
        assert run.camera.state == "running"
    assert_untouched(run.beside)
    assert run.report is not None
    assert not run.report.failed


def test_a_wrong_password_is_said_in_one_line_and_the_other_source_runs_on(
    serve_rtsp: Serve, fault_proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fault_proxy.upstream = serve_rtsp("live", "admin", "s3cr3t").port
    with running(fault_proxy.address("admin:wr0ng")) as run:
        run.wait_for(lambda: run.camera.state == "failed")
        time.sleep(0.3)
        assert fault_proxy.connections <= 2  # it is not tried again; FFmpeg itself asks twice
    assert_untouched(run.beside)
    error = run.camera.error
    assert error is not None
    assert "refuses this user and password" in error
    assert "\n" not in error
    assert "wr0ng" not in error + caplog.text


def test_a_wrong_path_is_tried_again_and_ends_when_told_to(
    serve_rtsp: Serve, fault_proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fault_proxy.upstream = serve_rtsp("live").port
    with running(fault_proxy.address("admin:s3cr3t", "nosuch"), max_attempts=2) as run:
        run.wait_for(lambda: run.camera.state == "failed")
    lines = [line for line in lines_of(caplog) if line.startswith("camera: ")]
    assert ["attempt 1 of 2" in lines[0], "attempt 2 of 2" in lines[1]] == [True, True]
    assert len(lines) == 3
    assert all("/nosuch cannot be opened: " in line and "404" in line for line in lines)
    assert "s3cr3t" not in caplog.text


@pytest.mark.parametrize(
    "fault", ["held bytes", pytest.param("stopped server", marks=pytest.mark.slow)]
)
def test_a_stream_that_hangs_is_stalled_in_time_and_reached_again(
    serve_rtsp: Serve, fault_proxy: FaultProxy, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    caplog.set_level(logging.INFO)
    server = serve_rtsp("live")
    fault_proxy.upstream = server.port
    with running(fault_proxy.address()) as run:
        run.wait_for_frames()
        last = time.monotonic()
        if fault == "held bytes":
            fault_proxy.hold()
        else:
            server.process.send_signal(signal.SIGSTOP)
        run.wait_for(lambda: run.camera.stalls == 1)
        noticed = time.monotonic() - last
        time.sleep(1.0)  # it tries, and nobody answers
        if fault == "held bytes":
            fault_proxy.release()
        else:
            server.process.send_signal(signal.SIGCONT)
        run.wait_for_frames(20)
        end = run.camera
    assert noticed < STALL_SECONDS + LATE_SECONDS
    assert (end.stalls, end.reconnects, end.error) == (1, 1, None)
    assert_time_only_went_on(run.sink)
    assert_untouched(run.beside)
    said = [line for line in lines_of(caplog) if "gave no frame for" in line]
    assert len(said) == 1
    assert "; attempt 1 in " in said[0]


def test_bytes_that_are_flipped_on_the_way_are_survived(
    serve_rtsp: Serve, fault_proxy: FaultProxy
) -> None:
    """Pictures, RTP headers and RTSP's own framing alike: whether by the next key frame or by a new
    connection, it is all right afterwards."""
    fault_proxy.upstream = serve_rtsp("live").port
    with running(fault_proxy.address()) as run:
        run.wait_for_frames()
        fault_proxy.flip_every = 300
        time.sleep(1.5)
        fault_proxy.flip_every = None
        run.wait_for_frames(40)
        time.sleep(1.2)  # past the next key frame
        end = run.camera
        last = run.sink.results[-1].frame
    assert end.corrupt + end.damaged + end.reconnects > 0  # it was noticed
    assert end.error is None
    assert not last.damaged
    assert_time_only_went_on(run.sink)
    assert_untouched(run.beside)


@pytest.mark.slow
def test_a_stop_while_the_camera_hangs_is_quick(serve_rtsp: Serve, fault_proxy: FaultProxy) -> None:
    fault_proxy.upstream = serve_rtsp("live").port
    with running(fault_proxy.address()) as run:
        run.wait_for_frames()
        fault_proxy.hold()
        run.wait_for(lambda: run.camera.stalls == 1)
        began = time.monotonic()
    assert time.monotonic() - began < END_SECONDS


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_200_reconnects_leave_no_thread_no_file_and_no_memory_behind(
    serve_rtsp: Serve, fault_proxy: FaultProxy, capsys: pytest.CaptureFixture[str]
) -> None:
    fault_proxy.upstream = serve_rtsp("live").port
    figures: list[tuple[int, int, float]] = []
    with running(fault_proxy.address(), longest_wait=0.2) as run:
        for reconnect in range(220):
            run.wait_for_frames(2)
            run.sink.results.clear()
            run.beside.results.clear()
            fault_proxy.cut()
            run.wait_for(lambda done=reconnect: run.camera.reconnects > done)  # type: ignore[misc]
            if reconnect >= 20:  # the first ones fill caches
                figures.append(_held())
        end = run.camera
    assert end.reconnects >= 220
    threads, files, resident = (np.array(column) for column in zip(*figures, strict=True))
    early, late = slice(0, 40), slice(-40, None)
    with capsys.disabled():
        print(
            f"\n200 reconnects: threads {np.median(threads[early]):.0f} -> "
            f"{np.median(threads[late]):.0f}, files {np.median(files[early]):.0f} -> "
            f"{np.median(files[late]):.0f}, resident {np.median(resident[early]):.1f} -> "
            f"{np.median(resident[late]):.1f} MB"
        )
    assert np.median(threads[late]) <= np.median(threads[early]) + 1
    assert np.median(files[late]) <= np.median(files[early]) + 2
    assert np.median(resident[late]) - np.median(resident[early]) < 8.0


def _held() -> tuple[int, int, float]:
    """Threads, open files and resident MB of this process."""
    gc.collect()
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    return threading.active_count(), files, resident_megabytes()
