"""Every setting: its type, unit, limits and default. The defaults live here and nowhere else.

A preset is a YAML file with some of these keys; ``--set a.b=value`` goes on top. Reading, merging
and the errors a person sees are in :mod:`configs.load`. Each larger group has a file in
:mod:`configs.groups`; here they come together.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.groups.base import Point, Rectangle, Settings, Switch
from configs.groups.detector import (
    BatchSettings,
    DetectorSettings,
    GateSettings,
    RangeSettings,
)
from configs.groups.output import (
    ClipSettings,
    DiskSettings,
    DisplaySettings,
    EventSettings,
    LogFileSettings,
    OutputSettings,
    OverlaySettings,
    RecordSettings,
)
from configs.groups.source import (
    CameraSettings,
    ExcludeSettings,
    OpticsSettings,
    ReconnectSettings,
    RtspSettings,
    SourceSettings,
    SyntheticSettings,
    WatchdogSettings,
)
from configs.groups.tracker import TrackerSettings

__all__ = [
    "BatchSettings",
    "CameraSettings",
    "ClipSettings",
    "DetectorSettings",
    "DiskSettings",
    "DisplaySettings",
    "EventSettings",
    "ExcludeSettings",
    "GateSettings",
    "LogFileSettings",
    "LogSettings",
    "OpticsSettings",
    "OutputSettings",
    "OverlaySettings",
    "Point",
    "RangeSettings",
    "ReconnectSettings",
    "RecordSettings",
    "Rectangle",
    "RtspSettings",
    "RunSettings",
    "Settings",
    "SourceSettings",
    "StreamSettings",
    "Switch",
    "SyntheticSettings",
    "TrackerSettings",
    "WatchdogSettings",
]


class LogSettings(Settings):
    """Logs and the dashboard."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="log lines")
    detail: Literal["full", "tracks", "counts"] = Field(
        "full", description="frames.jsonl: everything, no detections, or numbers only"
    )
    dashboard: Switch = Field(
        "auto", description="auto: the live dashboard on a terminal, log lines elsewhere"
    )
    every_seconds: float = Field(5.0, gt=0, description="a line of status this often")


class RunSettings(Settings):
    """When to stop."""

    max_frames: int | None = Field(None, ge=1, description="stop after so many frames a source")
    max_seconds: float | None = Field(None, gt=0, description="stop after so long, wall clock")


class StreamSettings(Settings):
    """All settings of a run."""

    source: SourceSettings = SourceSettings()
    camera: OpticsSettings = OpticsSettings()
    detector: DetectorSettings = DetectorSettings()
    tracker: TrackerSettings = TrackerSettings()
    output: OutputSettings = OutputSettings()
    logs: LogSettings = LogSettings()
    run: RunSettings = RunSettings()
