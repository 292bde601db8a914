"""Where results go, and how they look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.groups.base import Seconds, Settings


class OverlaySettings(Settings):
    """How the annotated picture looks."""

    min_width: int = Field(
        640, ge=64, le=8192, description="smaller pictures are scaled up for drawing, px"
    )
    trails_seconds: Seconds = Field(2.0, description="length of the trails; 0: none")
    uncertainty: bool = Field(True, description="draw the 95 % ellipse of each position")
    inset: bool = Field(True, description="zoom in on the most certain small target")
    detections: bool = Field(False, description="draw detections that belong to no track too")
    contrast: Literal["clahe", "stretch", "none"] = Field(
        "stretch", description="of the drawn picture only; the network never sees it"
    )
    as_camera: bool = Field(True, description="show a black-hot camera's picture black-hot")


class RecordSettings(Settings):
    """The annotated video."""

    enabled: bool = Field(True, description="write annotated.mp4")
    codec: Literal["h264", "hevc", "mpeg4"] = Field("h264", description="h264 plays everywhere")
    crf: int = Field(23, ge=0, le=51, description="quality: lower is better and larger")
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"] = (
        Field("superfast", description="the encoder's effort")
    )
    original: bool = Field(
        False,
        description="write original.mkv, too: the frames as the detector gets them, white-hot,"
        " without loss (FFV1, 8 or 16 bit grey)",
    )
    segment_seconds: Literal["auto"] | Annotated[float, Field(gt=0)] | None = Field(
        "auto",
        description="a new file, annotated-0002.mp4 and so on, after so long; null: never;"
        " auto: 600 for live sources and where keep_hours or keep_gb is given, else never",
    )
    segment_mb: float | None = Field(
        None, gt=0, description="a new file when the last has so many MB (10^6 bytes)"
    )
    keep_hours: float | None = Field(
        None, gt=0, description="finished files of this run older than this are deleted; null: none"
    )
    keep_gb: float | None = Field(
        None,
        gt=0,
        description="the oldest finished files of this run are deleted so that all its recordings"
        " of a source stay below so many GB (10^9 bytes); null: none",
    )

    @model_validator(mode="after")
    def _check(self) -> RecordSettings:
        keeps = self.keep_hours is not None or self.keep_gb is not None
        if keeps and self.segment_seconds is None and self.segment_mb is None:
            raise ValueError(
                "keep_hours and keep_gb delete finished files, and there is none before the end:"
                " give segment_seconds or segment_mb, too"
            )
        return self


class ClipSettings(Settings):
    """A video of its own for every time in which something is tracked, in the folder clips."""

    enabled: bool = Field(False, description="write clips, and clips.jsonl that lists them")
    before_seconds: float = Field(
        5.0, ge=0, le=60, description="from so long before a track is confirmed, at least"
    )
    after_seconds: float = Field(
        5.0, ge=0, description="until so long after the last of its tracks is lost"
    )
    max_seconds: float = Field(
        300.0, gt=0, description="a longer one goes on in the next clip, no frame missing"
    )
    keep_hours: float | None = Field(
        None, gt=0, description="finished clips of this run older than this are deleted; null: none"
    )
    keep_gb: float | None = Field(
        None,
        gt=0,
        description="the oldest clips of this run are deleted beyond so many GB; null: none",
    )


class LogFileSettings(Settings):
    """The files of logs: frames.jsonl, tracks.txt, events.jsonl, clips.jsonl."""

    segment_seconds: Literal["auto"] | Annotated[float, Field(gt=0)] | None = Field(
        "auto",
        description="a log goes on in a new file, frames-0002.jsonl and so on, after so long;"
        " null: never; auto: 86400, a day, for live sources and where keep_hours or keep_gb is"
        " given, else never",
    )
    segment_mb: Literal["auto"] | Annotated[float, Field(gt=0)] | None = Field(
        "auto",
        description="a file has so many MB (10^6 bytes) at most; null: no limit; auto: 100 for the"
        " same sources, else no limit",
    )
    keep_hours: float | None = Field(
        None, gt=0, description="finished files of this run older than this are deleted; null: none"
    )
    keep_gb: Literal["auto"] | Annotated[float, Field(gt=0)] | None = Field(
        "auto",
        description="the oldest finished files of this run are deleted so that each log of a source"
        " stays below so many GB (10^9 bytes); null: none; auto: 10 for live sources, else none",
    )

    @model_validator(mode="after")
    def _check(self) -> LogFileSettings:
        keeps = self.keep_hours is not None or isinstance(self.keep_gb, float)
        if keeps and self.segment_seconds is None and self.segment_mb is None:
            raise ValueError(
                "keep_hours and keep_gb delete finished files, and there is none before the end:"
                " give segment_seconds or segment_mb, too"
            )
        return self


class DiskSettings(Settings):
    """What happens when the disk is full or gone: detection goes on, and so do files later."""

    min_free_mb: float = Field(
        50.0, ge=0, description="videos leave so many MB (10^6 bytes) to logs and other programs"
    )
    retry_seconds: float = Field(
        10.0, gt=0, description="a file that cannot be written is tried again this often"
    )


class DisplaySettings(Settings):
    """The window."""

    enabled: bool = Field(False, description="open a window; q or Esc closes it and stops")
    max_fps: float = Field(30.0, gt=0, description="the window is drawn at most this often")


class EventSettings(Settings):
    """What happens when a track is confirmed and when it is lost."""

    jsonl: bool = Field(True, description="append a line of JSON to events.jsonl")
    stdout: bool = Field(False, description="print that line, too")
    command: tuple[str, ...] = Field(
        (),
        description="run this program with its arguments; the event is its standard input, and "
        "{event} {id} {x} {y} {score} {source} in the arguments are filled in",
    )
    command_timeout_seconds: float = Field(
        10.0, gt=0, description="then the program is killed; when the stream ends, after 4 s"
    )


class OutputSettings(Settings):
    """Where results go."""

    directory: Path = Field(Path("output"), description="never overwritten: output-2 comes next")
    tracks_smoothed: bool = Field(
        True,
        description="of files write tracks_smoothed.txt, too: confirmed tracks from their first"
        " detection to their last, smoothed by what came later",
    )
    overlay: OverlaySettings = OverlaySettings()
    record: RecordSettings = RecordSettings()
    clips: ClipSettings = ClipSettings()
    logs: LogFileSettings = LogFileSettings()
    disk: DiskSettings = DiskSettings()
    display: DisplaySettings = DisplaySettings()
    events: EventSettings = EventSettings()
