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


def video_stream(container: InputContainer, address: str) -> VideoStream:
    """The container's video stream, ready to decode, by one thread.

    One thread decodes 320x256 at thousands of frames per second. Several would give frames later
    and errors out of order, and how they conceal damage depends on their number: with one, the
    same file gives the same frames on every machine.

    Args:
        container: opened for reading.
        address: for errors, without passwords.

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


def decode(
    stream: VideoStream, packet: Packet[VideoStream] | None
) -> Iterator[VideoFrame | Corrupt]:
    """The frames that a packet completes; None at the end gives those still in the decoder.

    A packet that cannot be decoded and a frame that the decoder marks as damaged are ``Corrupt``.
    """
    try:
        frames = stream.decode(packet)
    except av.FFmpegError:
        yield Corrupt()
        return
    for frame in frames:
        yield Corrupt() if frame.is_corrupt else frame


def reason(error: av.FFmpegError | OSError) -> str:
    """Why FFmpeg failed, as the end of a sentence, without the address."""
    text = (error.strerror or type(error).__name__).strip().rstrip(".")
    return text[:1].lower() + text[1:]
