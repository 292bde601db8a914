"""A video file that plays whatever ends the program, written from compressed packets.

MP4 is written as a *hybrid*: fragments of half a second while it grows, so that a kill leaves
everything but the last moments playable, and turned into a plain MP4 with an ordinary index when it
is closed, which every player, editor and browser takes. Matroska is written in clusters of half a
second, which players read without an index, too. Neither needs to be mended after a kill.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av

from streamer.sinks.disk import Disk
from streamer.sinks.disk_file import DiskFile
from streamer.sinks.encoder import Encoder, Packet
from streamer.types import StreamError

if TYPE_CHECKING:
    from av.container import OutputContainer

_FORMATS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": (
        "mp4",
        {"movflags": "hybrid_fragmented", "frag_duration": "500000"},  # microseconds
    ),
    ".mkv": ("matroska", {"cluster_time_limit": "500"}),  # milliseconds
}


class _ForMuxer:
    """A file as PyAV's muxers want it. They print what is raised to them: an error waits here.

    After an error nothing more is written, and the muxer does not know.
    """

    def __init__(self, file: DiskFile) -> None:
        self.error: OSError | None = None
        self._file = file
        self._at = 0

    @property
    def closed(self) -> bool:
        """True where a muxer must not write its trailer any more."""
        return self._file.closed

    def write(self, data: bytes) -> int:
        self._try(lambda: self._file.write(data))
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = (
            offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence]
        )
        self._try(lambda: self._file.seek(self._at))
        return self._at

    def tell(self) -> int:
        return self._at

    def _try(self, what: Callable[[], None]) -> None:
        if self.error is None:
            try:
                what()
            except OSError as error:
                self.error = error


class VideoFile:
    """A new file for packets of one encoder, the first of which is a key frame.

    It starts at 0, and says in its metadata when that was: ``creation_time``, and the source's pts
    as ``comment``.

    Args:
        path: of the file; the suffix says the format.
        disk: where it lies.
        encoder: where the packets come from.
        first: the first packet; it must be written, too.

    Raises:
        StreamError: the format refuses the encoder's packets.
    """

    def __init__(self, path: Path, disk: Disk, encoder: Encoder, first: Packet) -> None:
        self.path = path
        self.frames = 0
        """Packets taken."""
        self.saved = 0
        """Those of them that are in the file for good."""
        self.packet_bytes = 0
        """Of all packets taken."""
        self.first = self.last = first.moment
        """Those of the first and the last picture."""
        self._origin = first.ticks
        self._end = 0
        self._time_base = encoder.time_base
        self._whole = 0
        self._container: OutputContainer | None = None
        # Made with the first half second: no file is ever there that does not play.
        self._file = DiskFile(path, disk, held=True)
        self._muxed = _ForMuxer(self._file)
        name, options = _FORMATS[path.suffix]
        try:
            self._container = av.open(
                cast("Any", self._muxed),
                "w",
                format=name,
                options={**options, "flush_packets": "1"},
            )
            self._container.metadata.update(_metadata(first))
            self._stream: Any = self._container.add_stream_from_template(
                encoder.stream, opaque=True
            )
            if encoder.codec.tag is not None:
                self._stream.codec_context.codec_tag = encoder.codec.tag
            self._container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            self.discard()
            raise self._refused(error) from error
        self._file.release()

    @property
    def seconds(self) -> float:
        """Its length."""
        return float(self._end * self._time_base)

    @property
    def size(self) -> int:
        """Bytes in the file; half a second's may still wait in memory."""
        return self._file.size

    def write(self, packet: Packet) -> None:
        """Append a packet.

        Raises:
            OSError: the disk is full or gone: :meth:`discard` it.
            StreamError: the format refuses it.
        """
        made: Any = av.Packet(packet.data)
        made.pts = made.dts = packet.ticks - self._origin
        made.time_base, made.duration = self._time_base, packet.duration
        made.is_keyframe = packet.key
        made.stream = self._stream
        self.frames += 1
        self.packet_bytes += len(packet.data)
        self.last = packet.moment
        self._run(lambda container: container.mux(made))
        self._end = packet.ticks - self._origin + packet.duration
        if self._file.size > self._whole:  # a fragment went out: what came before this packet
            self._whole, self.saved = self._file.size, self.frames - 1

    def finish(self) -> None:
        """Write what is left, and the index; flush it all to the disk.

        Raises:
            OSError: the disk is full or gone: :meth:`discard` it.
        """
        self._run(lambda container: container.close())
        self._file.close()
        self.saved = self.frames

    def discard(self) -> bool:
        """Let go of the file where it cannot be written any more; what is whole in it stays and
        plays. False where that is nothing: then no file is left.
        """
        kept = self._whole > 0 and not self._file.removed
        with contextlib.suppress(OSError):  # that the disk has a problem is why we are here
            self._file.cut_back(self._whole)
        with contextlib.suppress(OSError):
            self._file.close() if kept else self._file.delete()
        if self._container is not None:
            self._container.close()  # it sees that the file is closed, and writes nothing more
        return kept

    def _run(self, step: Callable[[OutputContainer], None]) -> None:
        """Let the muxer work, and raise what the disk raised meanwhile."""
        assert self._container is not None
        try:
            step(self._container)
        except (av.FFmpegError, ValueError) as error:
            raise self._refused(error) from error
        if self._muxed.error is not None:
            raise self._muxed.error

    def _refused(self, error: Exception) -> StreamError:
        return StreamError(f"cannot record {self.path}: {getattr(error, 'strerror', error)}")


def _metadata(first: Packet) -> dict[str, str]:
    found = {"comment": f"starts at pts {first.moment.pts_seconds:.6f} s of the source"}
    if math.isfinite(first.moment.utc):
        found["creation_time"] = utc_text(first.moment.utc)
    return found


def utc_text(utc: float) -> str:
    """Seconds since 1970 in ISO 8601."""
    return (
        datetime.fromtimestamp(utc, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
