"""The annotated video: H.264 in MP4, at the source's own timestamps.

The file is written as a *hybrid* MP4: fragments of about a second while it grows, so that a crash
or a kill leaves everything but the last moments playable, and turned into a plain MP4 with an
ordinary index when it is closed, which every player, editor and browser takes.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from configs.schema import RecordSettings
from streamer.types import StreamError

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

LONGEST_GAP_SECONDS = 3600.0
FIRST_STEP_SECONDS = 1 / 30
"""How long the frame of a video of one frame lasts."""
KEY_FRAME_EVERY = 60
ENCODER_THREADS = 2

_ENCODERS = {"h264": "libx264", "hevc": "libx265", "mpeg4": "mpeg4"}
# The video's clock. 90 kHz puts a timestamp off by 6 us at most; MPEG-4 counts to 65535 a second.
_TICKS_PER_SECOND = {"h264": 90_000, "hevc": 90_000, "mpeg4": 60_000}
_CONTAINER_OPTIONS = {
    "movflags": "hybrid_fragmented",
    "frag_duration": "1000000",  # microseconds
    "flush_packets": "1",
}
# ITU-T H.273: what cv2's conversion does is BT.601, limited range; players need to be told.
_BT601, _LIMITED_RANGE = 6, 1


class Recorder:
    """Writes pictures with their timestamps into PATH, then PATH-0002, ... when the size changes.

    Each file starts at 0. Timestamps in a file strictly increase: two equal ones become a tick
    apart, and a clock that starts anew (a camera that was reconnected) goes on where it was.
    """

    def __init__(self, path: Path, settings: RecordSettings) -> None:
        """Check that the encoder is there; the file is made with the first picture.

        Raises:
            StreamError: this build of PyAV lacks the encoder.
        """
        self._path = path
        self._settings = settings
        self._encoder = _ENCODERS[settings.codec]
        try:
            av.Codec(self._encoder, "w")
        except (av.FFmpegError, ValueError) as error:
            raise StreamError(
                f"output.record.codec={settings.codec} needs the encoder {self._encoder}, which "
                "this PyAV does not have; take h264 or mpeg4, or record nothing with --no-record"
            ) from error
        self._rate = _TICKS_PER_SECOND[settings.codec]
        self._files = 0
        self._size = (0, 0)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._origin = 0.0
        self._ticks = 0
        self._step = 0

    def write(self, picture: NDArray[np.uint8], pts_seconds: float) -> None:
        """Append a picture.

        Args:
            picture: (H, W, 3) BGR with even sides.
            pts_seconds: when, on the source's clock.

        Raises:
            StreamError: it cannot be encoded or written.
            ValueError: a side is odd.
        """
        height, width = picture.shape[:2]
        if height % 2 or width % 2:
            raise ValueError(f"a picture of {width}x{height} px cannot be recorded: sides are even")
        if self._container is None or self._stream is None or (width, height) != self._size:
            self.close()
            self._container, self._stream = self._open(width, height)
            self._origin, self._ticks = pts_seconds, 0
            self._step = round(FIRST_STEP_SECONDS * self._rate)
        else:
            self._advance(pts_seconds)
        planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = self._ticks, Fraction(1, self._rate)
        try:
            self._mux(frame)
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Finish the file. Idempotent.

        Raises:
            StreamError: what was left could not be written.
        """
        container, self._container = self._container, None
        if container is None:
            return
        try:
            try:
                self._mux(None, container)
            finally:
                container.close()
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error
        finally:
            self._stream = None

    def _advance(self, pts_seconds: float) -> None:
        """Set the next picture's time."""
        ticks = round((pts_seconds - self._origin) * self._rate)
        if not -self._rate < ticks - self._ticks < LONGEST_GAP_SECONDS * self._rate:
            ticks = self._ticks + self._step
            self._origin = pts_seconds - ticks / self._rate
        ticks = max(ticks, self._ticks + 1)
        self._step, self._ticks = ticks - self._ticks, ticks

    def _mux(self, frame: av.VideoFrame | None, container: OutputContainer | None = None) -> None:
        """Encode a frame, or what the encoder still holds, and write what comes out."""
        container = container or self._container
        assert container is not None and self._stream is not None
        for packet in self._stream.encode(frame):
            packet.duration = self._step  # of the file's last frame; others last until the next
            container.mux(packet)

    def _open(self, width: int, height: int) -> tuple[OutputContainer, VideoStream]:
        self._files += 1
        self._size = (width, height)
        try:
            container = av.open(
                str(self._current_path), "w", format="mp4", options=dict(_CONTAINER_OPTIONS)
            )
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error
        try:
            options = self._encoder_options()
            stream: Any = container.add_stream(self._encoder, rate=30, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = Fraction(1, self._rate)
            codec = stream.codec_context
            codec.time_base = Fraction(1, self._rate)
            codec.thread_count = ENCODER_THREADS
            codec.gop_size = KEY_FRAME_EVERY
            # Without B-frames order of decoding is order of showing: timestamps need no edit list.
            codec.max_b_frames = 0
            codec.colorspace, codec.color_range = _BT601, _LIMITED_RANGE
            if self._settings.codec == "hevc":
                codec.codec_tag = "hvc1"  # Apple's players know no other
            container.start_encoding()
        except (av.FFmpegError, OSError, ValueError) as error:
            container.close()
            raise self._failed(error) from error
        return container, stream

    def _encoder_options(self) -> dict[str, str]:
        settings = self._settings
        if settings.codec == "mpeg4":
            quantiser = 2 + round(settings.crf * 29 / 51)
            return {"qmin": str(quantiser), "qmax": str(quantiser)}
        options = {"crf": str(settings.crf), "preset": settings.preset}
        if settings.codec == "hevc":
            options["x265-params"] = f"log-level=none:bframes=0:pools={ENCODER_THREADS}"
        return options

    @property
    def _current_path(self) -> Path:
        if self._files <= 1:
            return self._path
        return self._path.with_stem(f"{self._path.stem}-{self._files:04d}")

    def _failed(self, error: Exception) -> StreamError:
        reason = getattr(error, "strerror", None) or error
        return StreamError(f"cannot record {self._current_path}: {reason}")
