"""Every setting: its type, unit, limits and default. The defaults live here and nowhere else.

A preset is a YAML file with some of these keys; ``--set a.b=value`` goes on top. Reading, merging
and the errors a person sees are in :mod:`configs.load`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Seconds = Annotated[float, Field(ge=0.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Point = tuple[float, float]
Rectangle = tuple[float, float, float, float]


def _switch(value: object) -> object:
    """YAML reads a bare ``on`` or ``off`` as a truth value: take it for the word it was."""
    return ("off", "on")[value] if isinstance(value, bool) else value


Switch = Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)]


class Settings(BaseModel):
    """What every group of settings shares: unknown keys are refused, values do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )


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
        description="tries in a row before giving up; 0: none, null: for ever;"
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
        15,
        ge=1,
        le=1000,
        description="so many frames together show all of the picture, besides what is looked at",
    )
    window_px: int = Field(
        64, ge=32, le=512, multiple_of=32, description="side of a window, px; its rim is not used"
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
    max_windows: int = Field(16, ge=1, le=256, description="of a frame; more: it is scanned whole")


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


class TrackerSettings(Settings):
    """The Kalman tracker."""

    kind: Literal["kalman"] = Field("kalman", description="which tracker")
    acceleration_sigma: float = Field(
        80.0,
        gt=0,
        description="how hard targets manoeuvre: the spread, px/s, that a velocity gathers in 1 s",
    )
    position_sigma_px: float = Field(
        0.7, gt=0, description="detections' position error for a target of one pixel, px"
    )
    initial_speed_sigma: float = Field(
        60.0, gt=0, description="spread of speeds that new tracks may have, px/s"
    )
    gate_probability: float = Field(
        0.997, gt=0, lt=1, description="share of true detections that fall inside the gate"
    )
    life: Literal["m_of_n", "likelihood"] = Field(
        "m_of_n",
        description="what confirms and ends tracks; m_of_n: counts of detections; likelihood: how"
        " much likelier a target is than chance, and false_tracks_per_hour",
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
        0.1,
        ge=1e-6,
        le=1e6,
        description="of likelihood: false detections a frame at that threshold, told by the same"
        " command; where a camera stands, more are learned place by place",
    )
    confirm_hits: int = Field(4, ge=1, description="M of `M of N`: detections to confirm a track")
    confirm_window: int = Field(6, ge=1, description="N of `M of N`: frames they fall in")
    confirm_displacement_px: float = Field(
        1.0,
        ge=0,
        description="how far, at least, a track must have moved to be confirmed, px; more where"
        " its position jitters; 0 also confirms what stands still",
    )
    coast_seconds: float = Field(
        0.7, ge=0, description="a confirmed track is deleted after so long without a detection"
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


class OverlaySettings(Settings):
    """How the annotated picture looks."""

    min_width: int = Field(
        960, ge=64, le=8192, description="smaller pictures are scaled up for drawing, px"
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
        Field("veryfast", description="the encoder's effort")
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
    disk: DiskSettings = DiskSettings()
    display: DisplaySettings = DisplaySettings()
    events: EventSettings = EventSettings()


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
