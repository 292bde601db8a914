"""Which source an address means, and what sources are called."""

import os
import re
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media import numbered, write_video

from configs.schema import SourceSettings
from streamer.protocols import Source
from streamer.sources.camera import CameraSource
from streamer.sources.factory import open_source, probe, source_names
from streamer.sources.folder import FolderSource
from streamer.sources.network import NetworkSource
from streamer.sources.synthetic import SyntheticSource
from streamer.sources.video import VideoSource
from streamer.types import StreamError


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a working directory with a video, a folder and a picture."""
    write_video(tmp_path / "night [1].mp4", [numbered(1)])
    (tmp_path / "frames").mkdir()
    (tmp_path / "one.TIFF").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("synthetic:", SyntheticSource),
        ("synthetic:?snr=4", SyntheticSource),
        ("rtsp://camera/stream", NetworkSource),
        ("RTSPS://camera/stream", NetworkSource),
        ("http://camera/video.mjpg", NetworkSource),
        ("udp://239.0.0.1:1234", NetworkSource),
        ("0", CameraSource),
        ("/dev/video12", CameraSource),
        ("frames", FolderSource),
        ("frames/*.png", FolderSource),
        ("one.TIFF", FolderSource),
        ("night [1].mp4", VideoSource),
        ("missing.mp4", VideoSource),
        ("x" * 5000, VideoSource),
    ],
)
def test_the_kind_of_an_address(there: Path, address: str, kind: type) -> None:
    source = open_source(address, SourceSettings(), "name")
    assert type(source) is kind
    assert isinstance(source, Source)
    assert source.name == "name"


def test_a_recording_at_its_own_pace_is_live_but_not_reconnected() -> None:
    settings = SourceSettings(pace="realtime")
    recording = VideoSource("a.mp4", settings, "name")
    camera = NetworkSource("rtsp://camera/stream", settings, "name")
    assert recording.live
    assert camera.live
    assert not recording.can_reconnect
    assert camera.can_reconnect


@pytest.mark.parametrize(
    "address", ["missing.mp4", "frames", "x" * 5000, "/dev/video250", "one.tif"]
)
def test_an_address_that_leads_nowhere_fails_when_it_is_opened(there: Path, address: str) -> None:
    source = open_source(address, SourceSettings(), "name")
    with pytest.raises(StreamError):
        source.open()
    source.close()


@pytest.mark.parametrize("address", ["", "  ", "gopher://user:s3cr3t@host/x"])
def test_an_address_of_no_kind_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"rtsp://") as failure:
        open_source(address, SourceSettings(), "name")
    assert "s3cr3t" not in str(failure.value)


def test_names_are_readable(there: Path) -> None:
    addresses = [
        "recordings/night 3.mp4",
        "frames",
        "frames/*.png",
        "*.png",
        "rtsp://admin:s3cr3t@camera.lan:554/live/ch1?token=abc",
        "/dev/video0",
        "2",
        "synthetic:?snr=3",
    ]
    assert source_names(addresses) == [
        "night-3",
        "frames",
        "frames-2",
        "pictures",
        "camera.lan-554-live-ch1",
        "video0",
        "video2",
        "synthetic",
    ]


ADDRESSES = st.one_of(
    st.text(min_size=1, max_size=40),
    st.sampled_from(["a.mp4", "A.mp4", "b/a.mp4", "0", "rtsp://h/a", "rtsp://u:p@h/a", "a-2.mp4"]),
)


@given(st.lists(ADDRESSES, max_size=12))
def test_names_are_different_and_fit_for_files_everywhere(addresses: list[str]) -> None:
    names = source_names(addresses)
    assert len(names) == len(addresses)
    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=3, max_size=20))
def test_passwords_are_in_no_name(password: str) -> None:
    (name,) = source_names([f"rtsp://admin:Zq7{password}@camera/live"])
    assert "Zq7" not in name
    assert "admin" not in name


@pytest.mark.parametrize(
    "address",
    [
        "--rtsp://admin:Zq7@camera/live",
        "--rtsp://admin:Zq7@camera",
        "://admin:Zq7@camera",
        "rtsp:/admin:Zq7@camera",
        "rtsp//admin:Zq7@camera",
        "admin:Zq7@camera",
        "rtsp%3A%2F%2Fadmin%3AZq7%40camera%2Flive",
        "rtsp://the admin:Zq7@camera",
    ],
)
def test_passwords_of_mistyped_addresses_are_in_no_name(address: str) -> None:
    (name,) = source_names([address])
    assert "Zq7" not in name


class TestProbe:
    """A run fails early where nothing can be read, and only there."""

    def sources(self, *addresses: str) -> list[Source]:
        return [open_source(a, SourceSettings(), f"s{k}") for k, a in enumerate(addresses)]

    def test_every_recording_that_cannot_be_read_has_its_line(self, tmp_path: Path) -> None:
        (tmp_path / "frames").mkdir()
        addresses = (str(tmp_path / "nosuch.mp4"), str(tmp_path / "frames"))
        with pytest.raises(StreamError) as caught:
            probe(self.sources(*addresses))
        lines = str(caught.value).splitlines()
        assert len(lines) == 2
        assert all(address in line for address, line in zip(addresses, lines, strict=True))

    @pytest.mark.parametrize(
        "good", ["a.png", "rtsp://127.0.0.1:9/x", "/dev/video99", "synthetic:"]
    )
    def test_one_that_may_deliver_is_enough(self, tmp_path: Path, good: str) -> None:
        cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8), np.uint8))
        address = str(tmp_path / good) if good == "a.png" else good
        sources = self.sources(str(tmp_path / "nosuch.mp4"), address)
        probe(sources)
        if good == "a.png":
            sources[1].open()
            frame = sources[1].read()
            assert frame is not None
            assert frame.index == 0
            sources[1].close()

    @pytest.mark.parametrize("start_seconds", [0.0, 1.0])
    def test_a_pipe_is_left_alone_for_what_is_read_of_it_is_gone(
        self, tmp_path: Path, start_seconds: float
    ) -> None:
        count = 120
        write_video(tmp_path / "in.ts", [numbered(k) for k in range(count)])
        pipe = tmp_path / "pipe.ts"
        os.mkfifo(pipe)
        settings = SourceSettings(start_seconds=start_seconds)
        sources = [open_source(str(pipe), settings, "pipe")]
        data = (tmp_path / "in.ts").read_bytes()
        writer = threading.Thread(target=pipe.write_bytes, args=(data,), daemon=True)
        writer.start()
        probe(sources)
        sources[0].open()
        read = 0
        while sources[0].read() is not None:
            read += 1
        sources[0].close()
        writer.join(10)
        assert read == count - round(30 * start_seconds)
