"""The recording of a source: pictures are compressed once, for segments and for clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from configs.schema import ClipSettings, RecordSettings
from streamer.sinks.clips import Clips
from streamer.sinks.disk import Disk
from streamer.sinks.encoder import Codec, Encoder, Moment, Packet
from streamer.sinks.retention import Limits, Retention
from streamer.sinks.segments import Segments


class PacketSink(Protocol):
    """Takes the packets of one encoder after the other."""

    @property
    def active(self) -> bool:
        """True where packets are wanted now."""

    @property
    def wants_key(self) -> bool:
        """True where the next picture should be a key frame."""

    def take(self, packet: Packet, encoder: Encoder) -> None:
        """Take a packet."""

    def miss(self, moment: Moment) -> None:
        """A picture came while nobody was active, and was not compressed."""

    def cut(self) -> None:
        """The packets that follow are another encoder's."""

    def close(self) -> None:
        """Finish every file. Idempotent."""


class PacketWriter:
    """Compresses pictures while somebody wants them, with a new encoder when the size changes.

    Args:
        sinks: take every packet.
    """

    def __init__(self, sinks: Sequence[PacketSink]) -> None:
        self._sinks = tuple(sinks)
        self._encoder: Encoder | None = None

    def write(
        self, codec: Codec, size: tuple[int, int], frame: Callable[[], av.VideoFrame], at: Moment
    ) -> None:
        """Compress a picture.

        Args:
            codec: what to use; another than before begins new files, as another size does.
            size: (width, height) of the picture, px.
            frame: makes the picture; not called where nobody wants it.
            at: its time and tracks.

        Raises:
            StreamError: it cannot be compressed, or a format refuses it.
        """
        if not any(sink.active for sink in self._sinks):
            for sink in self._sinks:
                sink.miss(at)
            return
        if self._encoder is None or (self._encoder.codec, self._encoder.size) != (codec, size):
            self._end_encoder()
            self._encoder = Encoder(codec, *size)
        key = any(sink.wants_key for sink in self._sinks)
        self._pass_on(self._encoder.encode(frame(), at, key=key), self._encoder)

    def cut(self) -> None:
        """Finish the files that are open; the next picture begins others.

        Raises:
            StreamError: what was left could not be compressed.
        """
        self._end_encoder()

    def close(self) -> None:
        """Finish every file. Idempotent.

        Raises:
            StreamError: what was left could not be compressed.
        """
        try:
            self._end_encoder()
        finally:
            for sink in self._sinks:
                sink.close()

    def _end_encoder(self) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is None:
            return
        self._pass_on(encoder.finish(), encoder)
        for sink in self._sinks:
            sink.cut()

    def _pass_on(self, packets: Iterable[Packet], encoder: Encoder) -> None:
        for packet in packets:
            for sink in self._sinks:
                sink.take(packet, encoder)


class Recorder:
    """Writes annotated pictures into PATH, then PATH-0002, ..., and clips of them where asked.

    Each file starts at 0. Timestamps in a file strictly increase: two equal ones become a tick
    apart, and a clock that starts anew (a camera that was reconnected) goes on where it was. A disk
    that is full or gone stops it, and it goes on by itself.

    Args:
        path: of the first file, an ``.mp4``.
        settings: codec, quality, segments; ``enabled`` false: clips only.
        clips: which clips to write; None for none.
        disk: where it all lies; None for one of its own.
        retention: shared with other recordings of the source; None for one of its own.
        logs: of the clips' list; None for none.
        live: the source is a camera.

    Raises:
        StreamError: this build of PyAV lacks the encoder, or the clips' list cannot be made.
    """

    def __init__(
        self,
        path: Path,
        settings: RecordSettings,
        *,
        clips: ClipSettings | None = None,
        disk: Disk | None = None,
        retention: Retention | None = None,
        logs: Limits | None = None,
        live: bool = False,
    ) -> None:
        disk = disk or Disk(path.parent)
        self._codec = Codec.annotated(settings)
        sinks: list[PacketSink] = []
        if settings.enabled:
            limits = Limits.of(settings, live=live)
            sinks.append(Segments(path, disk, limits, retention or Retention(limits)))
        if clips is not None and clips.enabled:
            sinks.append(Clips(path.parent, disk, clips, live=live, logs=logs))
        self._writer = PacketWriter(sinks)

    def write(
        self,
        picture: NDArray[np.uint8],
        pts_seconds: float,
        utc: float = math.nan,
        tracks: Iterable[int] = (),
    ) -> None:
        """Append a picture.

        Args:
            picture: (H, W, 3) BGR with even sides.
            pts_seconds: when, on the source's clock.
            utc: wall clock of its capture, seconds since 1970.
            tracks: ids of its confirmed and coasting tracks.

        Raises:
            StreamError: it cannot be encoded.
            ValueError: a side is odd.
        """
        height, width = picture.shape[:2]
        if height % 2 or width % 2:
            raise ValueError(f"a picture of {width}x{height} px cannot be recorded: sides are even")

        def frame() -> av.VideoFrame:
            planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), np.uint8)
            return av.VideoFrame.from_ndarray(planes, format="yuv420p")

        at = Moment(pts_seconds, utc, tuple(tracks))
        self._writer.write(self._codec, (width, height), frame, at)

    def cut(self) -> None:
        """The source's pictures are of another kind from here on: the next begins a new file.

        Raises:
            StreamError: what was left could not be compressed.
        """
        self._writer.cut()

    def close(self) -> None:
        """Finish every file. Idempotent.

        Raises:
            StreamError: what was left could not be compressed.
        """
        self._writer.close()
