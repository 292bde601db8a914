"""RTSP against a real server, and network addresses that lead nowhere."""

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from media import number_in, numbered, with_latin_title, write_video

from configs.schema import SourceSettings
from streamer.sources.network import NetworkSource
from streamer.types import Frame, PermanentError, StreamError

Serve = Callable[..., Any]
"""The fixture ``serve_rtsp``: a clip in; a running server, its process and address, out."""
FRAMES = 75


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give 2.5 s of numbered pictures, with a key frame every 0.5 s."""
    images = [numbered(index, 96, 128) for index in range(FRAMES)]
    options = {"g": "15", "bf": "0"}
    return write_video(tmp_path_factory.mktemp("rtsp") / "clip.mp4", images, options=options)


def source(address: str, **rtsp: object) -> NetworkSource:
    settings = SourceSettings.model_validate({"rtsp": rtsp})
    return NetworkSource(address, settings, "camera")


def read_all(stream: NetworkSource) -> list[Frame]:
    frames = []
    while (frame := stream.read()) is not None:
        frames.append(frame)
    return frames


@pytest.fixture
def silent_host() -> Iterator[str]:
    """Give the address of a host that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"rtsp://admin:s3cr3t@127.0.0.1:{server.getsockname()[1]}/live"


def test_a_stream_is_received_as_it_was_sent(serve_rtsp: Serve, clip: Path) -> None:
    stream = source(serve_rtsp(clip).address)
    assert stream.live
    before = time.monotonic()
    stream.open()
    frames = read_all(stream)
    took = time.monotonic() - before
    stream.close()
    # The end of a recording that a server replays is the end, and it comes at its own pace.
    assert 2.0 < took < 10
    numbers = [number_in(frame.image) for frame in frames]
    assert len(numbers) >= FRAMES - 5
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert [frame.index for frame in frames] == list(range(len(frames)))
    # Steps of the stream's own clock; the very first frame may come without a timestamp.
    np.testing.assert_allclose(np.diff([frame.pts_seconds for frame in frames])[1:], 1 / 30, 1e-3)
    captured = [frame.captured_seconds for frame in frames]
    assert captured == sorted(captured)
    assert before < captured[0]
    assert captured[-1] < before + took


@pytest.mark.parametrize("second", ["size", "pixel format"])
def test_a_camera_that_changes_its_pictures_in_mid_stream_is_read_on_in_one_connection(
    serve_rtsp: Serve, tmp_path: Path, second: str
) -> None:
    """It is told to send another size or pixel format: it starts over with a key frame."""
    size, pixel_format = ((120, 160), "yuv420p") if second == "size" else ((96, 128), "yuv444p")
    # One slice a picture: the server puts parameter sets before each of a key frame.
    options = {"g": "15", "bf": "0", "threads": "1", "slices": "1"}
    parts = []
    for start, shape, chroma in ((0, (96, 128), "yuv420p"), (45, size, pixel_format)):
        numbers = range(start, start + 45)
        images = [numbered(k, *shape) for k in numbers]
        seconds = [k / 30 for k in numbers]
        path = tmp_path / f"{start}.ts"
        write_video(path, images, pixel_format=chroma, seconds=seconds, options=options)
        parts.append(path.read_bytes())
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(parts))
    stream = source(serve_rtsp(joined).address)
    stream.open()
    frames: list[Frame] = []
    while not frames or number_in(frames[-1].image) < 85:
        frame = stream.read()
        assert frame is not None
        frames.append(frame)
    corrupt = stream.corrupt
    stream.close()
    seen = [number_in(frame.image) for frame in frames]
    assert seen == list(range(seen[0], 86))
    assert seen[0] <= 15
    shapes = [frame.image.shape for frame in frames]
    assert shapes == [(96, 128) if number < 45 else size for number in seen]
    assert corrupt == 0
    pts = [frame.pts_seconds for frame in frames]
    assert all(0 < after - before < 0.5 for before, after in pairwise(pts))


def test_wall_clock_is_that_of_the_sender_reports(serve_rtsp: Serve, tmp_path: Path) -> None:
    """A server sends its first report after some seconds: ``utc`` then advances exactly as the
    stream's clock does, which the time of arrival never would."""
    images = [numbered(index, 96, 128) for index in range(135)]
    clip = write_video(tmp_path / "long.mp4", images, options={"g": "15", "bf": "0"})
    stream = source(serve_rtsp(clip).address)
    stream.open()
    frames = read_all(stream)
    stream.close()
    ahead = np.array([frame.utc - frame.pts_seconds for frame in frames[-20:]])
    assert np.ptp(ahead) < 1e-4
    assert abs(frames[-1].utc - time.time()) < 5


def test_user_and_password_open_the_stream_and_show_nowhere(
    serve_rtsp: Serve, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    plain = serve_rtsp(clip, "admin", "s3cr3t").address
    address = plain.replace("rtsp://", "rtsp://admin:s3cr3t@")
    stream = source(address)
    stream.open()
    frame = stream.read()
    assert frame is not None
    stream.close()
    assert "s3cr3t" not in stream.address
    assert "s3cr3t" not in frame.source
    wrong = source(plain.replace("rtsp://", "rtsp://admin:wr0ng@"))
    with pytest.raises(PermanentError, match="user and password") as failure:
        wrong.open()
    assert "wr0ng" not in str(failure.value)
    assert "s3cr3t" not in caplog.text
    assert "wr0ng" not in caplog.text


def test_a_server_that_dies_is_an_error_and_a_new_one_is_read_on(
    serve_rtsp: Serve, clip: Path
) -> None:
    server = serve_rtsp(clip)
    stream = source(server.address, read_timeout_seconds=2)
    stream.open()
    for _ in range(20):
        last = stream.read()
    assert last is not None
    server.process.kill()
    with pytest.raises(StreamError, match=r"127\.0\.0\.1"):
        read_all(stream)
    with pytest.raises(StreamError):
        stream.open()
    stream.close()


def test_opening_again_counts_on(serve_rtsp: Serve, clip: Path) -> None:
    stream = source(serve_rtsp(clip).address)
    stream.open()
    for _ in range(5):
        before = stream.read()
    stream.open()
    after = stream.read()
    stream.close()
    assert before is not None
    assert after is not None
    assert after.index == before.index + 1


def test_silence_is_an_error_after_the_read_timeout(serve_rtsp: Serve, clip: Path) -> None:
    server = serve_rtsp(clip)
    stream = source(server.address, read_timeout_seconds=1)
    stream.open()
    stream.read()
    server.process.send_signal(signal.SIGSTOP)
    before = time.monotonic()
    with pytest.raises(StreamError):
        read_all(stream)
    assert time.monotonic() - before < 4
    stream.close()


def test_interrupt_ends_a_read_that_waits(serve_rtsp: Serve, clip: Path) -> None:
    server = serve_rtsp(clip)
    stream = source(server.address, read_timeout_seconds=30)
    stream.open()
    stream.read()
    server.process.send_signal(signal.SIGSTOP)
    timer = threading.Timer(0.5, stream.interrupt)
    timer.start()
    before = time.monotonic()
    read_all(stream)
    assert time.monotonic() - before < 2
    stream.close()


def test_a_host_without_an_answer_is_given_up_in_time(silent_host: str) -> None:
    stream = source(silent_host, open_timeout_seconds=1)
    before = time.monotonic()
    with pytest.raises(StreamError, match="no answer in 1 s") as failure:
        stream.open()
    assert time.monotonic() - before < 3
    assert "s3cr3t" not in str(failure.value)
    assert "127.0.0.1" in str(failure.value)


def test_interrupt_ends_an_open_that_waits(silent_host: str) -> None:
    stream = source(silent_host, open_timeout_seconds=30)
    threading.Timer(0.3, stream.interrupt).start()
    before = time.monotonic()
    with pytest.raises(StreamError, match="interrupted"):
        stream.open()
    assert time.monotonic() - before < 2
    stream.close()


def test_certificates_that_are_not_there_are_told_before_anything_is_tried(tmp_path: Path) -> None:
    stream = source("rtsps://user:s3cr3t@127.0.0.1:1/live", tls_ca_file=tmp_path / "ca.pem")
    with pytest.raises(PermanentError, match=r"ca\.pem is no file .* source\.rtsp\.tls_ca_file"):
        stream.open()
    stream.close()


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "tcp"])
def test_a_refused_connection_is_one_line_without_the_password(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    stream = source(f"{scheme}://admin:s3cr3t@127.0.0.1:{port}/live", open_timeout_seconds=3)
    with pytest.raises(StreamError) as failure:
        stream.open()
    assert "s3cr3t" not in str(failure.value)
    assert "\n" not in str(failure.value)
    assert "refused" in str(failure.value)


def test_a_protocol_that_this_ffmpeg_lacks_is_said_once_and_for_all() -> None:
    """PyAV's wheels have no SRT; where another build has, there is only nobody listening."""
    stream = source("srt://user:s3cr3t@127.0.0.1:1", open_timeout_seconds=3)
    with pytest.raises(StreamError) as failure:
        stream.open()
    stream.close()
    assert "s3cr3t" not in str(failure.value)
    if isinstance(failure.value, PermanentError):
        assert "was built without srt" in str(failure.value)
    else:
        assert "Protocol not found" not in str(failure.value)


def test_a_title_in_another_encoding_is_no_reason_to_refuse_a_stream(tmp_path: Path) -> None:
    images = [numbered(index) for index in range(5)]
    path = with_latin_title(write_video(tmp_path / "a.avi", images, codec="mpeg4"))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(path.read_bytes())

        thread = threading.Thread(target=serve)
        thread.start()
        stream = source(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        stream.open()
        assert stream.read() is not None
        stream.close()
        thread.join()


def test_an_empty_picture_of_an_mjpeg_camera_is_passed_over() -> None:
    head = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n"
    part = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(head)
                for index in range(20):
                    jpeg = cv2.imencode(".jpg", numbered(index))[1].tobytes()
                    data = b"" if index == 10 else jpeg
                    connection.sendall(part % (len(data), data))

        thread = threading.Thread(target=serve)
        thread.start()
        stream = source(f"http://127.0.0.1:{server.getsockname()[1]}/video")
        stream.open()
        numbers = []
        with pytest.raises(StreamError):  # a camera's stream has no end
            while (frame := stream.read()) is not None:
                numbers.append(number_in(frame.image))
        thread.join()
    stream.close()
    assert stream.corrupt <= 1  # the last one may be cut off
    assert numbers[:18] == [*range(10), *range(11, 19)]


def test_a_read_before_open_is_refused() -> None:
    with pytest.raises(StreamError, match="before it was opened"):
        source("rtsp://host/live").read()
