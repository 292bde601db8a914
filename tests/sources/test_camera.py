"""Cameras, against a fake device: a real container of raw 16-bit grey in place of V4L2."""

import errno
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.container import InputContainer
from media import number_in, numbered, write_video

import streamer.sources.live
from configs.schema import SourceSettings
from streamer.sources.camera import CameraSource
from streamer.types import StreamError


class FakeDevice:
    """Opens a file where a V4L2 device is asked for, and remembers what was asked."""

    def __init__(self, video: Path, refuse: dict[str, int] | None = None) -> None:
        self.video = video
        self.refuse = refuse or {}
        self.asked: list[tuple[str, dict[str, str]]] = []

    def __call__(self, device: str, options: dict[str, str]) -> InputContainer:
        self.asked.append((device, options))
        error = self.refuse.get(options.get("input_format", "any"))
        if error is not None:
            av.error.err_check(-error, device)
        return av.open(str(self.video))


@pytest.fixture
def thermal(tmp_path: Path) -> Path:
    """Give five pictures of 14 bit, as a thermal core sends them."""
    images = [np.full((24, 32), 8000 + index, dtype=np.uint16) for index in range(5)]
    return write_video(tmp_path / "y16.nut", images, codec="rawvideo", pixel_format="gray16le")


def camera(device: FakeDevice, address: str = "0", **settings: Any) -> CameraSource:
    return CameraSource(
        address, SourceSettings.model_validate({"camera": settings}), "camera", device
    )


def test_y16_comes_raw(thermal: Path) -> None:
    device = FakeDevice(thermal)
    source = camera(device, bit_depth=14)
    source.open()
    frames = [source.read() for _ in range(5)]
    source.close()
    assert source.live
    for index, frame in enumerate(frames):
        assert frame is not None
        assert frame.image.dtype == np.uint16
        assert frame.bit_depth == 14
        assert (frame.image == 8000 + index).all()
        assert frame.index == index
        assert abs(frame.utc - time.time()) < 5
    assert device.asked == [("/dev/video0", {"input_format": "gray16le"})]


def test_black_hot_y16_is_turned_round_in_the_cores_own_depth(thermal: Path) -> None:
    settings = SourceSettings.model_validate({"camera": {"bit_depth": 14}, "polarity": "black_hot"})
    source = CameraSource("0", settings, "camera", FakeDevice(thermal))
    source.open()
    frame = source.read()
    source.close()
    assert frame is not None
    assert frame.image[0, 0] == 16383 - 8000


def test_auto_takes_what_the_camera_has_where_there_is_no_y16(thermal: Path) -> None:
    device = FakeDevice(thermal, {"gray16le": errno.EINVAL})
    source = camera(device, "/dev/video3", width=320, height=240, fps=9)
    source.open()
    source.close()
    size = {"video_size": "320x240", "framerate": "9"}
    assert device.asked == [
        ("/dev/video3", {"input_format": "gray16le", **size}),
        ("/dev/video3", size),
    ]


def test_8bit_never_asks_for_y16(thermal: Path) -> None:
    device = FakeDevice(thermal)
    source = camera(device, pixel_format="8bit")
    source.open()
    source.close()
    assert device.asked == [("/dev/video0", {})]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errno.ENOENT, "no camera at /dev/video0"),
        (errno.ENODEV, "no camera at /dev/video0"),
        (errno.EBUSY, "in use by another program"),
        (errno.EACCES, "group 'video'"),
    ],
)
def test_why_a_camera_cannot_be_opened(thermal: Path, error: int, text: str) -> None:
    device = FakeDevice(thermal, {"gray16le": error, "any": error})
    with pytest.raises(StreamError, match=text):
        camera(device).open()
    assert len(device.asked) == 1


def test_a_format_that_the_camera_lacks(thermal: Path) -> None:
    device = FakeDevice(thermal, {"gray16le": errno.EINVAL})
    with pytest.raises(StreamError, match=r"pixel_format y16, 640x480.*list-formats-ext"):
        camera(device, pixel_format="y16", width=640, height=480).open()


def test_a_device_that_is_not_there() -> None:
    source = CameraSource("/dev/video250", SourceSettings(), "camera")
    with pytest.raises(StreamError, match="no camera at /dev/video250"):
        source.open()


def test_a_camera_that_is_pulled_out_is_an_error(thermal: Path) -> None:
    source = camera(FakeDevice(thermal))
    source.open()
    for _ in range(5):
        assert source.read() is not None
    with pytest.raises(StreamError, match="sends no more"):
        source.read()
    source.close()


def test_a_driver_that_hangs_can_be_interrupted_and_left(thermal: Path) -> None:
    let_go = threading.Event()

    def hang(device: str, options: dict[str, str]) -> InputContainer:
        let_go.wait(30)
        raise AssertionError(device, options)

    source = CameraSource("0", SourceSettings(), "camera", hang)
    threading.Timer(0.2, source.interrupt).start()
    before = time.monotonic()
    with pytest.raises(StreamError, match="interrupted"):
        source.open()
    source.close()
    assert time.monotonic() - before < 2
    let_go.set()


class Paced:
    """A container whose packets come one every 20 ms, as over a network."""

    def __init__(self, container: InputContainer) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def __enter__(self) -> "Paced":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def demux(self, stream: Any) -> Iterator[Any]:
        for packet in self._container.demux(stream):
            time.sleep(0.02)
            yield packet


def test_data_without_a_picture_is_no_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever joins a stream in the middle waits for its next key frame, which may be far."""
    images = [numbered(k) for k in range(90)]
    options = {"g": "60", "bf": "0", "sc_threshold": "0"}
    path = write_video(tmp_path / "whole.ts", images, options=options)
    with av.open(str(path)) as container:
        second = [packet.pos for packet in container.demux(video=0) if packet.size][1]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(path.read_bytes()[second // 188 * 188 :])
    monkeypatch.setattr(streamer.sources.live, "_GRACE_SECONDS", 0.1)
    source = CameraSource(
        "0",
        SourceSettings(),
        "camera",
        lambda device, _: Paced(av.open(str(joined))),  # type: ignore[arg-type, return-value]
    )
    source.open()
    source.read_timeout_seconds = 0.4
    try:
        frame = source.read()
    finally:
        source.close()
    assert frame is not None
    assert number_in(frame.image) == 60
