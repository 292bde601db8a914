"""The network, where it looks, and how its mask becomes detections."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.groups.base import Settings


class BatchSettings(Settings):
    """How frames of several sources share one run of the network."""

    max_size: int | None = Field(
        None, ge=1, le=64, description="frames at most; null: 8 on a GPU, 1 on a CPU"
    )
    deadline_ms: float = Field(
        2.0, ge=0, description="wait at most this long for more frames once one is there"
    )
    in_flight: int = Field(2, ge=1, le=8, description="batches on a GPU at once")


class RangeSettings(Settings):
    """How pixels of more than 8 bit are scaled for the network (not for the display)."""

    low_percentile: float = Field(1.0, ge=0, lt=50, description="becomes black")
    high_percentile: float = Field(99.0, gt=50, le=100, description="becomes near white")
    min_span: float = Field(
        64.0, gt=0, description="raw levels the range never gets narrower than: noise stays noise"
    )
    time_constant_seconds: float = Field(
        10.0, ge=0, description="how slowly the range follows the scene"
    )


class GateSettings(Settings):
    """Where the network looks, in mode gated."""

    scan_every: int = Field(
        20,
        ge=1,
        le=1000,
        description="so many frames together show all of the picture, besides what is looked at",
    )
    scan_windows: int = Field(
        1,
        ge=1,
        le=256,
        description="of that a frame shows at most so many windows, twice as many after a cut: a "
        "large picture takes longer",
    )
    window_px: int = Field(
        64,
        ge=32,
        le=512,
        multiple_of=32,
        description="side of a window, px; its rim is not used. Twice that, or a scan's, around "
        "tracks that need more",
    )
    candidates: int = Field(
        1, ge=0, le=64, description="windows at most for bright spots that no track explains"
    )
    candidate_contrast: float = Field(
        3.0,
        gt=0,
        lt=5,
        description="how bright a spot, in standard deviations of its 15 x 15 px surround; "
        "a lone point on a plain sky has 5.3",
    )
    candidate_every: int = Field(
        5, ge=1, le=1000, description="frames from one look at a bright spot to the next"
    )
    max_windows: int = Field(
        16,
        ge=1,
        le=256,
        description="of a frame; more, or as much of wide ones: it is scanned whole",
    )


class DetectorSettings(Settings):
    """The network, and how its mask becomes detections."""

    weights: str = Field(
        "auto", description="name in model/weights or path; auto: the best for the device"
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N"
    )
    engine: Literal["auto", "openvino", "torch"] = Field(
        "auto", description="what runs the network; auto: openvino on a CPU, torch on a GPU"
    )
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        "auto", description="auto: fp16 on a GPU; on a CPU bf16 where it has AMX, else fp32"
    )
    mode: Literal["auto", "full", "gated"] = Field(
        "auto",
        description="full: the network sees all of every frame; gated: windows around tracks and "
        "bright spots, and a part of the rest; auto: gated on a CPU",
    )
    gate: GateSettings = GateSettings()
    threads: int | None = Field(
        None, ge=1, le=256, description="threads of the network on a CPU; null: all cores"
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="probability a target must reach; null: the weights' own"
    )
    low_threshold: float = Field(
        0.1, gt=0, lt=1, description="weaker components than this are not even looked at"
    )
    min_area_px: int = Field(1, ge=1, description="smaller components are ignored, px")
    max_area_px: int = Field(400, ge=1, description="larger components are marked as extended, px")
    max_elongation: float = Field(
        6.0, ge=1, description="components longer than this many widths are marked as extended"
    )
    max_detections: int = Field(
        300, ge=1, description="the best so many of a frame are kept, by score"
    )
    batch: BatchSettings = BatchSettings()
    range16: RangeSettings = RangeSettings()
