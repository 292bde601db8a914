"""Reading the video stream of an FFmpeg container: what files and live streams have in common."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamer.sources.base import Corrupt
from streamer.types import StreamError

_USUAL_FPS = 25.0
# One thread decodes 320x256 at thousands of frames per second. How a decoder conceals damage
# depends on its threads, so their number follows from the picture, never from the machine: the
# same file gives the same frames everywhere.
_LARGE_PICTURE_PX = 1280 * 720
_THREADS_FOR_LARGE = 4
_FLUSHES = 2 * _THREADS_FOR_LARGE


def video_stream(container: InputContainer, address: str, *, low_delay: bool) -> VideoStream:
    """The container's video stream, ready to decode.

    Args:
        container: opened for reading.
        address: for errors, without passwords.
        low_delay: give each frame as soon as it is there; otherwise large pictures are decoded
            several at a time.

    Raises:
        StreamError: it has no video, or in a codec that this FFmpeg lacks.
    """
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or container.format.name == "tty":
        # "tty" is how FFmpeg shows a text file as moving pictures.
        raise StreamError(f"{address} holds no video stream: give a video, pictures or a camera")
    context = stream.codec_context
    if context is None:
        raise StreamError(f"{address} holds video in a codec that cannot be decoded here")
    large = stream.width * stream.height > _LARGE_PICTURE_PX
    stream.thread_count = _THREADS_FOR_LARGE if large else 1
    stream.thread_type = "SLICE" if low_delay else "AUTO"
    return stream


def frame_period(stream: VideoStream) -> float:
    """The average time from frame to frame, seconds."""
    rate = stream.average_rate or stream.guessed_rate
    return 1.0 / float(rate) if rate else 1.0 / _USUAL_FPS


def stated_seconds(frame: VideoFrame) -> float | None:
    """The frame's own timestamp, or None if the stream gives none."""
    if frame.pts is None or frame.time_base is None:
        return None
    return float(frame.pts * frame.time_base)


def decode(
    stream: VideoStream, packet: Packet[VideoStream] | None
) -> Iterator[VideoFrame | Corrupt]:
    """The frames that a packet completes; None at the end gives those still in the decoder.

    A packet that cannot be decoded and a frame that the decoder marks as damaged are ``Corrupt``.
    """
    # A decoder with several threads reports errors late: at the end there may be one for each.
    for _ in range(1 if packet else _FLUSHES):
        try:
            frames = stream.decode(packet)
        except EOFError:  # already flushed
            return
        except av.FFmpegError:
            yield Corrupt()
            continue
        for frame in frames:
            yield Corrupt() if frame.is_corrupt else frame
        return


def reason(error: av.FFmpegError | OSError) -> str:
    """Why FFmpeg failed, as the end of a sentence, without the address."""
    text = (error.strerror or type(error).__name__).strip().rstrip(".")
    return text[:1].lower() + text[1:]
