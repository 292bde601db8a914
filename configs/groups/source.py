"""Where frames come from: sources and cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.groups.base import Fraction, Point, Rectangle, Seconds, Settings


class ExcludeSettings(Settings):
    """Regions in which nothing is detected: burnt-in clocks, crosshairs, treetops."""

    rectangles: tuple[Rectangle, ...] = Field(
        (), description="list of [x0, y0, x1, y1], pixels of the source's picture, edges included"
    )
    polygons: tuple[tuple[Point, ...], ...] = Field(
        (), description="list of [[x, y], [x, y], [x, y], ...], at least three points each"
    )
    image: Path | None = Field(
        None, description="a picture whose non-black pixels are excluded; resized to the source's"
    )

    @model_validator(mode="after")
    def _check(self) -> ExcludeSettings:
        for x0, y0, x1, y1 in self.rectangles:
            if x1 < x0 or y1 < y0:
                raise ValueError(
                    f"rectangle [{x0:g}, {y0:g}, {x1:g}, {y1:g}] must be [left, top, right, bottom]"
                )
        for polygon in self.polygons:
            if len(polygon) < 3:
                raise ValueError(f"a polygon needs at least 3 points, got {len(polygon)}")
        return self


class RtspSettings(Settings):
    """How to talk to an RTSP camera."""

    transport: Literal["tcp", "udp", "udp_multicast", "http"] = Field(
        "tcp", description="tcp loses nothing on the way; udp has less delay on a clean network"
    )
    open_timeout_seconds: float = Field(10.0, gt=0, description="give up connecting after this")
    read_timeout_seconds: float = Field(
        5.0,
        gt=0,
        description="no data for so long is an error, and the camera is connected anew, also where"
        " source.watchdog.stall_seconds is longer: for a camera that sends less often give more",
    )
    tls_verify: bool = Field(True, description="check the certificate of an rtsps:// camera")
    tls_ca_file: Path | None = Field(
        None, description="certificate to trust, PEM: that of a camera which signed its own"
    )


class ReconnectSettings(Settings):
    """What a live source does when it cannot be reached or breaks off."""

    max_attempts: int | None = Field(
        None,
        ge=0,
        description="tries in a row before giving up; 0: none, null: for ever; one counts as"
        " successful once frames came for longer than the wait before it, or for 10 s;"
        " what cannot heal, such as a wrong password, is not tried again unless it once worked",
    )
    initial_seconds: float = Field(1.0, gt=0, description="wait before the first try; doubles")
    max_seconds: float = Field(30.0, gt=0, description="the longest wait between tries")


class WatchdogSettings(Settings):
    """When a live source counts as stalled, and any source's picture as frozen."""

    stall_seconds: Annotated[float, Field(gt=0)] | None = Field(
        3.0,
        description="a live source without a frame for so long is connected anew; four times as "
        "long for the first frame; never sooner than 5 usual intervals; null: never, and only "
        "source.rtsp.read_timeout_seconds ends a silence",
    )
    frozen_seconds: Annotated[float, Field(gt=0)] | None = Field(
        0.3,
        description="pictures that are the same to the bit for so long are frozen: a thermal camera"
        " calibrates; they give no detections; null: never",
    )
    flat_seconds: Annotated[float, Field(gt=0)] | None = Field(
        3.0,
        description="a picture that all at once has no contrast is frozen, too, for so long at "
        "most; null: never",
    )


class CameraSettings(Settings):
    """UVC and V4L2 cameras."""

    pixel_format: Literal["auto", "y16", "8bit"] = Field(
        "auto", description="y16: the raw 16 bit of a thermal core; auto: y16 where offered"
    )
    width: int | None = Field(None, gt=0, le=16384, description="px; null: the camera's own")
    height: int | None = Field(None, gt=0, le=16384, description="px; null: the camera's own")
    fps: float | None = Field(None, gt=0, description="frames per second; null: the camera's own")
    bit_depth: int = Field(16, ge=9, le=16, description="significant bits of y16 pixels")


class SyntheticSettings(Settings):
    """The built-in scene: `synthetic:` as a source."""

    seed: int = Field(7, ge=0, description="the same seed gives the same frames, to the bit")
    width: int = Field(320, ge=32, le=4096, description="px")
    height: int = Field(256, ge=32, le=4096, description="px")
    fps: float = Field(30.0, gt=0, le=1000, description="frames per second")
    seconds: float = Field(20.0, gt=0, description="length")
    bit_depth: Literal[8, 14, 16] = Field(8, description="of a pixel")
    targets: int = Field(4, ge=0, le=64, description="how many point targets")
    snr: float = Field(
        6.0, gt=0, description="a target's peak over the standard deviation of the local noise"
    )
    psf_sigma_px: float = Field(
        1.0, gt=0, le=8, description="standard deviation of the optics' blur, px"
    )
    noise_sigma: float = Field(
        3.0, ge=0, description="sensor noise, standard deviation in grey levels of 8 bit"
    )
    fixed_pattern_sigma: float = Field(
        0.8, ge=0, description="fixed-pattern noise, grey levels of 8 bit"
    )
    dead_pixels: Fraction = Field(0.0001, description="share of dead or stuck pixels")
    clutter: float = Field(
        18.0, ge=0, description="contrast of sky, clouds and terrain, grey levels of 8 bit"
    )
    drift_px_per_second: float = Field(3.0, ge=0, description="how fast clouds drift")
    camera_drift_px_per_second: float = Field(0.0, ge=0, description="how fast the camera pans")
    manoeuvres: bool = Field(True, description="targets turn and change speed")
    crossing: bool = Field(True, description="two of the targets cross")
    occlusion: bool = Field(True, description="a target passes behind something")
    live: bool = Field(
        False, description="give frames at the scene's own pace and drop what is not taken in time"
    )


class SourceSettings(Settings):
    """Where frames come from and how their pixels are read."""

    fps: float = Field(
        30.0, gt=0, le=10000, description="frames per second of a folder or glob, which has none"
    )
    pace: Literal["fast", "realtime"] = Field(
        "fast", description="realtime: replay a file at its own pace, as if it were live"
    )
    start_seconds: Seconds = Field(0.0, description="replay a file from here")
    end_seconds: float | None = Field(None, gt=0, description="replay a file to here; null: all")
    live_queue: int = Field(
        4, ge=1, le=64, description="frames a live source may wait; more drop the oldest"
    )
    file_queue: int = Field(8, ge=1, le=256, description="frames read ahead from a file")
    polarity: Literal["white_hot", "black_hot"] = Field(
        "white_hot", description="black_hot: the camera shows hot things dark"
    )
    palette: Literal[
        "auto", "grey", "ironbow", "inferno", "magma", "plasma", "jet", "hot", "rainbow", "turbo"
    ] = Field(
        "auto",
        description="pseudo-colour turned back into intensity; auto: colourful pictures are "
        "matched against the known palettes",
    )
    luma_range: Literal["auto", "limited", "full"] = Field(
        "auto", description="limited: 16..235 is stretched to 0..255; auto: what the stream says"
    )
    exclude: ExcludeSettings = ExcludeSettings()
    rtsp: RtspSettings = RtspSettings()
    reconnect: ReconnectSettings = ReconnectSettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    camera: CameraSettings = CameraSettings()
    synthetic: SyntheticSettings = SyntheticSettings()

    @model_validator(mode="after")
    def _check(self) -> SourceSettings:
        if self.end_seconds is not None and self.end_seconds <= self.start_seconds:
            raise ValueError(
                f"end_seconds {self.end_seconds:g} must be after start_seconds "
                f"{self.start_seconds:g}"
            )
        return self


class OpticsSettings(Settings):
    """Optics and mounting of the camera, for bearings in the logs: `docs/bearings.md`."""

    hfov_degrees: Annotated[float, Field(gt=0, lt=180)] | None = Field(
        None, description="horizontal field of view, edge to edge; pixels are square; or give fx"
    )
    fx: Annotated[float, Field(gt=0)] | None = Field(
        None, description="focal length, px; null and no hfov_degrees: the logs have no bearings"
    )
    fy: Annotated[float, Field(gt=0)] | None = Field(
        None, description="vertical focal length, px; null: as fx"
    )
    cx: float | None = Field(
        None, description="where the optical axis meets the picture, px; null: its middle"
    )
    cy: float | None = Field(None, description="likewise; y down")
    k1: float = Field(0.0, description="radial distortion, second order")
    k2: float = Field(0.0, description="radial distortion, fourth order")
    p1: float = Field(0.0, description="tangential distortion")
    p2: float = Field(0.0, description="tangential distortion")
    azimuth_degrees: Annotated[float, Field(ge=-360, le=360)] | None = Field(
        None,
        description="where the axis points, clockwise from north; null: azimuths are from the axis",
    )
    elevation_degrees: float = Field(
        0.0, ge=-90, le=90, description="how far up from the horizon the axis points"
    )
    roll_degrees: float = Field(
        0.0,
        ge=-360,
        le=360,
        description="how far the camera is turned clockwise about its axis, seen from behind it",
    )

    @property
    def known(self) -> bool:
        """True where there is enough to tell bearings."""
        return self.hfov_degrees is not None or self.fx is not None

    @model_validator(mode="after")
    def _check(self) -> OpticsSettings:
        if self.hfov_degrees is not None and (self.fx is not None or self.fy is not None):
            raise ValueError("give hfov_degrees or fx and fy, not both")
        if not self.known:
            for name, field in type(self).model_fields.items():
                if getattr(self, name) != field.default:
                    raise ValueError(f"{name} says nothing without hfov_degrees or fx")
        return self
