"""Pictures in, compressed packets out; which files they go to is not its business."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
from av.codec.context import Flags
from av.video.frame import PictureType

from configs.schema import RecordSettings
from streamer.types import StreamError

LONGEST_GAP_SECONDS = 3600.0
FIRST_STEP_SECONDS = 1 / 30
"""How long the frame of a video of one frame lasts."""
KEY_FRAME_SECONDS = 2.0
"""How far key frames are apart: files and clips can begin, and players can jump, at those."""
MIN_KEY_FRAME_DISTANCE, MAX_KEY_FRAME_DISTANCE = 10, 250
"""The same in frames, for sources that are very slow or very fast."""
THREADS = 2

_ENCODERS = {"h264": "libx264", "hevc": "libx265", "mpeg4": "mpeg4"}
# 90 kHz puts a timestamp off by 6 us at most; MPEG-4 counts to 65535 a second.
_TICKS_PER_SECOND = {"h264": 90_000, "hevc": 90_000, "mpeg4": 60_000}
# ITU-T H.273: what cv2's conversion does is BT.601, limited range; players need to be told.
_BT601, _LIMITED_RANGE = 6, 1


@dataclass(frozen=True, slots=True)
class Codec:
    """An encoder and how it is set up."""

    encoder: str
    """FFmpeg's name of it."""
    pixel_format: str
    """FFmpeg's name of what it takes."""
    ticks_per_second: int
    """The clock of its timestamps."""
    options: dict[str, str]
    tag: str | None = None
    """How an MP4 names it, where players insist."""
    intra: bool = False
    """True where every picture is a key frame."""

    @classmethod
    def annotated(cls, settings: RecordSettings) -> Codec:
        """For pictures with tracks drawn.

        Raises:
            StreamError: this build of PyAV lacks the encoder.
        """
        name = _ENCODERS[settings.codec]
        try:
            av.Codec(name, "w")
        except (av.FFmpegError, ValueError) as error:
            raise StreamError(
                f"output.record.codec={settings.codec} needs the encoder {name}, which "
                "this PyAV does not have; take h264 or mpeg4, or record nothing with --no-record"
            ) from error
        options = {"crf": str(settings.crf), "preset": settings.preset, "forced-idr": "1"}
        # An encoder that looks ahead holds frames back, which a kill would take along.
        options["tune"] = "zerolatency"
        if settings.codec == "hevc":
            options["x265-params"] = f"log-level=none:bframes=0:pools={THREADS}"
        elif settings.codec == "mpeg4":
            quantiser = 2 + round(settings.crf * 29 / 51)
            options = {"qmin": str(quantiser), "qmax": str(quantiser)}
        tag = "hvc1" if settings.codec == "hevc" else None  # Apple's players know no other
        return cls(name, "yuv420p", _TICKS_PER_SECOND[settings.codec], options, tag)

    @classmethod
    def lossless(cls, bits: int) -> Codec:
        """FFV1 for grey pictures of 8 or 16 bit. Its clock is Matroska's, milliseconds."""
        options = {"level": "3", "coder": "1", "context": "0", "slices": "4", "slicecrc": "1"}
        pixel_format = "gray" if bits == 8 else "gray16le"
        return cls("ffv1", pixel_format, 1000, options, intra=True)


@dataclass(frozen=True, slots=True)
class Moment:
    """What files need to know of a picture besides the picture."""

    pts_seconds: float
    """On the source's clock."""
    utc: float
    """Wall clock of its capture, seconds since 1970; NaN where unknown."""
    tracks: tuple[int, ...] = field(default=())
    """Ids of the confirmed and coasting tracks in it."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A compressed picture."""

    data: bytes
    ticks: int
    """When it is shown, on the encoder's clock: strictly increasing."""
    duration: int
    """Ticks for which it is shown where it is the last of a file: as long as is usual."""
    key: bool
    """True where a file can begin with it."""
    moment: Moment


class Encoder:
    """Compresses pictures of one size.

    Without B-frames the order of packets is that of pictures. Timestamps strictly increase: two
    equal ones become a tick apart, and a clock that starts anew goes on where it was.

    Args:
        codec: what to use.
        width: px.
        height: px.

    Raises:
        StreamError: it refuses them.
    """

    def __init__(self, codec: Codec, width: int, height: int) -> None:
        self.codec = codec
        self.size = (width, height)
        # A container that keeps nothing: what it is given to know of the stream is what files get.
        self._container = av.open(os.devnull, "w", format="null")
        stream: Any = self._container.add_stream(codec.encoder, rate=30, options=codec.options)
        stream.width, stream.height, stream.pix_fmt = width, height, codec.pixel_format
        stream.time_base = self.time_base = Fraction(1, codec.ticks_per_second)
        context = stream.codec_context
        context.time_base = self.time_base
        context.thread_count = THREADS
        context.flags |= Flags.global_header
        context.gop_size = 1 if codec.intra else MAX_KEY_FRAME_DISTANCE
        if not codec.intra:
            context.max_b_frames = 0
            context.colorspace, context.color_range = _BT601, _LIMITED_RANGE
        try:
            self._container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            raise self._failed(error) from error
        self.stream: av.VideoStream = stream
        """What a file's stream is made after."""
        self._origin = 0.0
        self._ticks: int | None = None
        self._usual = self._step = round(FIRST_STEP_SECONDS * codec.ticks_per_second)
        self._inside: deque[tuple[int, Moment]] = deque()
        self._key_pts = 0.0
        self._since_key = 0

    def encode(self, frame: av.VideoFrame, moment: Moment, *, key: bool = False) -> list[Packet]:
        """Take a picture; gives the packets that are ready, this one's nearly always.

        Args:
            frame: of the encoder's size and pixel format.
            moment: the picture's.
            key: make it a key frame.

        Raises:
            StreamError: it cannot be compressed.
        """
        self._advance(moment.pts_seconds)
        assert self._ticks is not None
        frame.pts, frame.time_base = self._ticks, self.time_base
        frame.pict_type = PictureType.I if self._wants_key(moment, key) else PictureType.NONE
        self._inside.append((self._usual, moment))
        return self._drain(frame)

    def finish(self) -> list[Packet]:
        """The packets that were held back. Afterwards it is used no more.

        Raises:
            StreamError: it fails.
        """
        return self._drain(None)

    def _advance(self, pts_seconds: float) -> None:
        """Set the next picture's time."""
        rate = self.codec.ticks_per_second
        if self._ticks is None:
            self._origin, self._ticks = pts_seconds, 0
            return
        ticks = round((pts_seconds - self._origin) * rate)
        if not -rate < ticks - self._ticks < LONGEST_GAP_SECONDS * rate:
            ticks = self._ticks + self._usual
            self._origin = pts_seconds - ticks / rate
        ticks = max(ticks, self._ticks + 1)
        step, self._ticks = ticks - self._ticks, ticks
        # A camera that was away for minutes is one long step, and shown no longer for that.
        self._usual, self._step = min(step, self._step), step

    def _wants_key(self, moment: Moment, asked: bool) -> bool:
        self._since_key += 1
        due = abs(moment.pts_seconds - self._key_pts) >= KEY_FRAME_SECONDS
        if asked or (due and self._since_key >= MIN_KEY_FRAME_DISTANCE):
            self._key_pts, self._since_key = moment.pts_seconds, 0
            return True
        return False

    def _drain(self, frame: av.VideoFrame | None) -> list[Packet]:
        try:
            ready = self.stream.encode(frame)
        except (av.FFmpegError, ValueError) as error:
            raise self._failed(error) from error
        packets = []
        for packet in ready:
            duration, moment = self._inside.popleft()
            assert packet.pts is not None
            key = packet.is_keyframe
            packets.append(Packet(bytes(packet), packet.pts, duration, key, moment))
        return packets

    def _failed(self, error: Exception) -> StreamError:
        width, height = self.size
        reason = getattr(error, "strerror", None) or error
        return StreamError(f"cannot encode {width}x{height} px with {self.codec.encoder}: {reason}")
