"""Reading the video stream of an FFmpeg container: what files and live streams have in common."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamer.sources.base import Corrupt
from streamer.types import MAX_PIXELS, PermanentError, StreamError

METADATA_ERRORS = "replace"
"""What PyAV does where a title is no UTF-8: by itself it refuses the whole stream."""

_USUAL_FPS = 25.0
_REMEMBERED_PACKETS = 64  # more than a decoder holds back
_HEALED_AFTER_FRAMES = 300  # streams without key frames refresh the picture bit by bit


def video_stream(container: InputContainer, address: str) -> VideoStream:
    """The container's video stream, ready to decode, by one thread.

    One thread decodes 320x256 at thousands of frames per second. Several would give frames later
    and errors out of order, and how they conceal damage depends on their number: with one, the
    same file gives the same frames on every machine.

    Args:
        container: opened for reading.
        address: for errors, without passwords.

    A stream that turns to pictures of more than :data:`MAX_PIXELS` later is corrupt from there on.

    Raises:
        PermanentError: its pictures have more.
        StreamError: it has no video, or in a codec that this FFmpeg lacks.
    """
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or container.format.name == "tty":
        # "tty" is how FFmpeg shows a text file as moving pictures.
        raise StreamError(f"{address} holds no video stream: give a video, pictures or a camera")
    context = stream.codec_context
    if context is None:
        raise StreamError(f"{address} holds video in a codec that cannot be decoded here")
    width, height = context.width, context.height
    if width * height > MAX_PIXELS:
        raise PermanentError(
            f"{address} has pictures of {width}x{height} px: more than {MAX_PIXELS} are not read"
        )
    context.options = {**context.options, "max_pixels": str(MAX_PIXELS)}
    stream.thread_count = 1
    return stream


def frame_period(stream: VideoStream) -> float:
    """The average time from frame to frame, seconds."""
    rate = stream.average_rate or stream.guessed_rate
    return 1.0 / float(rate) if rate else 1.0 / _USUAL_FPS


def stated_seconds(frame: VideoFrame, stream: VideoStream) -> float | None:
    """The frame's own timestamp, or None if the stream gives none."""
    if frame.pts is None or stream.time_base is None:
        return None
    # Not the frame's own time base: PyAV leaves it out where a decoder is flushed.
    return float(frame.pts * stream.time_base)


class Decoder:
    """Decodes a stream's packets, in order, and remembers damage.

    What follows a frame that could not be decoded is built upon it, and wrong where it was, until
    the next key frame. It is given all the same: somebody who is blind for the seconds between two
    key frames is worse off than with a smear.

    Args:
        stream: as :func:`video_stream` made it ready.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._damaged_for: int | None = None
        self._holed = False
        self._suspect: deque[int | None] = deque(maxlen=_REMEMBERED_PACKETS)

    @property
    def damaged(self) -> bool:
        """Whether the frame given last may be wrong in parts."""
        return self._damaged_for is not None

    def __call__(self, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame | Corrupt]:
        """The frames that a packet completes; None at the end gives those still in the decoder.

        A packet that cannot be decoded and a frame that the decoder marks as damaged are
        ``Corrupt``.
        """
        if packet is not None:
            self._heed(packet)
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError:
            self._damaged_for = 0
            yield Corrupt()
            return
        for frame in frames:
            if frame.is_corrupt:
                self._damaged_for = 0
                yield Corrupt()
                continue
            if self._damaged_for is not None:
                self._damaged_for += 1
                whole = frame.key_frame and frame.pts not in self._suspect
                if whole or self._damaged_for > _HEALED_AFTER_FRAMES:
                    self._damaged_for = None
            yield frame

    def _heed(self, packet: Packet[VideoStream]) -> None:
        """Note that parts of a packet got lost on the way, as the container's counters tell.

        For MPEG-TS it may be the packet before the damaged one that FFmpeg marks: its parser takes
        in the hole while it looks for a picture's end. So one that follows is suspect as well.
        """
        before, self._holed = self._holed, packet.is_corrupt
        if self._holed:
            self._damaged_for = 0
        if self._holed or before:
            self._suspect.append(packet.pts)


def reason(error: av.FFmpegError | OSError) -> str:
    """Why FFmpeg failed, as the end of a sentence, without the address."""
    text = (error.strerror or type(error).__name__).strip().rstrip(".")
    return text[:1].lower() + text[1:]
