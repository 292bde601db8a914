"""A video of its own for every time in which something is tracked, from some seconds before.

What was before a track is confirmed is kept as compressed packets, whole groups of pictures, so a
clip begins with a key frame and costs no second encoding. A track that is confirmed while a clip is
open shares it: a flock of birds is one file, not fifty. A clip is named after its first track and
the time of its first picture, and ``clips.jsonl`` lists the tracks of every clip.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from configs.schema import ClipSettings
from streamer.sinks.disk import Disk
from streamer.sinks.encoder import Encoder, Moment, Packet
from streamer.sinks.files import LineFile, number, to_line
from streamer.sinks.retention import Limits, Retention
from streamer.sinks.video_file import VideoFile
from streamer.sinks.video_output import VideoOutput

MAX_WAITING_BYTES = 64 * 2**20
"""Of compressed pictures from before; more, and a clip begins later than it should."""


class _Before:
    """The packets of the last seconds, from a key frame on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._groups: deque[list[Packet]] = deque()
        self._bytes = 0

    def add(self, packet: Packet) -> list[Packet]:
        """Take a packet; gives those that it lets go of."""
        gone: list[Packet] = []
        if packet.key:
            self._groups.append([])
        if not self._groups:  # nothing can begin here
            return [packet]
        self._groups[-1].append(packet)
        self._bytes += len(packet.data)
        since = packet.moment.pts_seconds - self._seconds
        while len(self._groups) > 1 and (
            self._groups[1][0].moment.pts_seconds <= since or self._bytes > MAX_WAITING_BYTES
        ):
            group = self._groups.popleft()
            self._bytes -= sum(len(each.data) for each in group)
            gone += group
        return gone

    def packets(self) -> list[Packet]:
        return [packet for group in self._groups for packet in group]

    def clear(self) -> None:
        self._groups.clear()
        self._bytes = 0


class Clips:
    """Writes clips of what is tracked, and the list of them.

    Args:
        folder: the source's; the clips go to ``clips`` in it, the list to ``clips.jsonl``.
        disk: where that lies.
        settings: how long before and after, and how long to keep them.
        live: the source is a camera, and names tell the wall clock, not the source's seconds.
        logs: limits of the list; None for none.

    Raises:
        StreamError: the list cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        disk: Disk,
        settings: ClipSettings,
        *,
        live: bool,
        logs: Limits | None = None,
    ) -> None:
        self._folder = folder / "clips"
        self._settings = settings
        self._live = live
        self._before = _Before(settings.before_seconds)
        self._list = LineFile(folder / "clips.jsonl", disk, logs)
        retention = Retention(Limits.of_clips(settings))
        self._output = VideoOutput(disk, "clips", retention, self._note)
        self._tracks: list[int] = []
        self._tracked_pts = 0.0
        self._missing: set[int] = set()
        """Ticks of pictures that are in no clip, and may still come into the next."""

    @property
    def active(self) -> bool:
        """True: what comes before a clip is always wanted."""
        return True

    @property
    def wants_key(self) -> bool:
        """True where the next picture should be a key frame: the clip is as long as it may be."""
        return self._too_long

    @property
    def _too_long(self) -> bool:
        file = self._output.file
        return file is not None and file.seconds >= self._settings.max_seconds

    def take(self, packet: Packet, encoder: Encoder) -> None:
        """Keep a packet, and write it where something is, or just was, tracked.

        Raises:
            StreamError: the format refuses it.
        """
        now = packet.moment
        gone = self._before.add(packet)
        full = packet.key and self._too_long
        over = now.pts_seconds - self._tracked_pts > self._settings.after_seconds
        if full or over:
            self._output.finish()
        if now.tracks:
            self._tracked_pts = now.pts_seconds
        if self._output.file is not None:
            self._tracks += [each for each in now.tracks if each not in self._tracks]
            self._output.write(packet)
        elif not (now.tracks or (full and not over)):
            pass
        elif self._output.ready:
            self._begin([packet] if full else self._before.packets(), now, encoder)
        else:
            self._missing.add(packet.ticks)
            self._output.wait(now)
        self._give_up(each.ticks for each in gone)

    def miss(self, moment: Moment) -> None:
        """A picture was not compressed. That happens to others only: this is always active."""
        self._output.miss(moment)

    def cut(self) -> None:
        """End the clip: the packets that follow are another encoder's. Idempotent.

        Raises:
            StreamError: the format refuses to.
        """
        self._output.finish()
        self._before.clear()
        self._give_up(tuple(self._missing))

    def close(self) -> None:
        """Finish the last clip and the list. Idempotent.

        Raises:
            StreamError: the format refuses to.
        """
        try:
            self.cut()
        finally:
            self._list.close()

    def _begin(self, packets: list[Packet], now: Moment, encoder: Encoder) -> None:
        first_track = min(now.tracks or self._tracks)
        self._tracks = list(now.tracks)
        self._missing.add(packets[-1].ticks)
        ticks = [each.ticks for each in packets]
        taken = self._output.begin(
            lambda: self._path(first_track, packets[0].moment),
            packets,
            encoder,
            owed=len(self._missing.intersection(ticks)),
        )
        self._missing.difference_update(ticks[:taken])

    def _give_up(self, ticks: Iterable[int]) -> None:
        """These pictures come into no clip any more: count those that should be in one."""
        lost = self._missing.intersection(ticks)
        self._missing -= lost
        self._output.lose(len(lost))

    def _note(self, file: VideoFile) -> None:
        self._list.write(
            to_line(
                {
                    "file": f"{self._folder.name}/{file.path.name}",
                    "tracks": self._tracks,
                    "utc": number(file.first.utc, 6),
                    "pts": number(file.first.pts_seconds, 6),
                    "end_pts": number(file.last.pts_seconds, 6),
                    "frames": file.saved,
                }
            )
        )

    def _path(self, track: int, first: Moment) -> Path:
        self._folder.mkdir(exist_ok=True)
        when = f"{first.pts_seconds:09.3f}s"
        if self._live:
            when = datetime.fromtimestamp(first.utc, UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"
        return self._folder / f"track-{track:06d}-{when}.mp4"
