"""The tracker."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.groups.base import Settings, Switch


class TrackerSettings(Settings):
    """The Kalman tracker."""

    kind: Literal["kalman"] = Field("kalman", description="which tracker")
    acceleration_sigma: float = Field(
        40.0,
        gt=0,
        description="how hard targets manoeuvre: the spread, px/s, that a velocity gathers in 1 s",
    )
    position_sigma_px: float = Field(
        0.3, gt=0, description="detections' position error for a target of one pixel, px"
    )
    initial_speed_sigma: float = Field(
        60.0, gt=0, description="spread of speeds that new tracks may have, px/s"
    )
    gate_probability: float = Field(
        0.9999, gt=0, lt=1, description="share of true detections that fall inside the gate"
    )
    life: Literal["m_of_n", "likelihood"] = Field(
        "likelihood",
        description="what confirms and ends tracks; likelihood: how much likelier a target is than"
        " chance, and false_tracks_per_hour; m_of_n: counts of detections",
    )
    false_tracks_per_hour: float = Field(
        10.0,
        ge=1e-6,
        description="of likelihood: so many tracks an hour may be confirmed by chance, where false"
        " detections come independently of each other",
    )
    detection_probability: float = Field(
        0.85,
        gt=0,
        lt=1,
        description="of likelihood: the share of frames in which a target in view is detected at"
        " the detector's threshold; python -m tracking.calibrate tells it",
    )
    false_alarms_per_frame: float = Field(
        0.5,
        ge=1e-6,
        le=1e6,
        description="of likelihood: false detections a frame at that threshold, told by the same"
        " command; where a camera stands, more are learned place by place",
    )
    confirm_hits: int = Field(
        4,
        ge=1,
        description="of m_of_n: detections to confirm a track; a tentative track with so many keeps"
        " its own from confirmed ones that fit them far worse",
    )
    confirm_window: int = Field(
        6,
        ge=1,
        description="the last frames that these fall in, and those that show that a track moved",
    )
    confirm_displacement_px: float = Field(
        0.6,
        ge=0,
        description="how far, at least, a track must have moved to be confirmed, px; more where"
        " its position jitters; 0 also confirms what stands still",
    )
    confirm_snr: float = Field(
        2.0,
        ge=0,
        description="SNR that a track's detections must have on average to confirm it: a cloud's"
        " edge is no brighter than what is around it; 0: any",
    )
    coast_seconds: float = Field(
        0.7,
        ge=0,
        description="a confirmed track is deleted after so long without a detection; frozen"
        " pictures do not count",
    )
    recapture_seconds: float = Field(
        3.0,
        ge=0,
        description="a deleted track's id is given again to a new track that goes on from it,"
        " no longer than this after its last detection; 0: never",
    )
    tentative_coast_seconds: float = Field(0.15, ge=0, description="the same for a tentative track")
    max_position_sigma_px: float = Field(
        100.0, gt=0, description="a track less certain than this about its position is deleted, px"
    )
    birth_score: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="detections below this never start a track; null: the threshold"
    )
    track_extended: bool = Field(
        True, description="follow components marked as extended; false: small targets only"
    )
    camera_motion: Switch = Field(
        "auto",
        description="tracks move with the scene when the camera pans, turns, zooms or shakes; "
        "auto: pictures are compared only as far as it takes to see that it stands still",
    )

    @model_validator(mode="after")
    def _check(self) -> TrackerSettings:
        if self.confirm_hits > self.confirm_window:
            raise ValueError(
                f"confirm_hits {self.confirm_hits} must not exceed confirm_window "
                f"{self.confirm_window}"
            )
        return self
