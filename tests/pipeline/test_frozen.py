"""Frozen pictures: what a camera shows while it calibrates, told from what only looks like it."""

from __future__ import annotations

import io
import itertools
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from pipeline_fakes import FakeTracker, settings
from quick_detector import Ticket

from configs.schema import SourceSettings, WatchdogSettings
from streamer.dashboard import render, status_line
from streamer.frozen import FrozenWatch
from streamer.pipeline import Pipeline, Stream
from streamer.sinks.frames_jsonl import FramesLog
from streamer.sources.factory import open_source
from streamer.stats import RunSnapshot, SourceSnapshot, SourceState
from streamer.summary import summarise
from streamer.types import Detections, FocusHints, Frame
from tracking import build_tracker

Pictures = Sequence[NDArray[Any]]
SHAPE = (60, 80)


def frame(image: NDArray[Any], index: int, fps: float = 30.0, **more: Any) -> Frame:
    depth = 8 if image.dtype == np.uint8 else 14
    return Frame(image, depth, index, index / fps, 0.0, index / fps, "cam", **more)


def marked(pictures: Iterable[NDArray[Any]], fps: float = 30.0, **watchdog: Any) -> list[int]:
    """The indices of the frames that are taken as frozen."""
    watch = FrozenWatch(WatchdogSettings(**watchdog), "cam")
    return [k for k, image in enumerate(pictures) if watch.is_frozen(frame(image, k, fps))]


def noisy(count: int, seed: int = 0, sigma: float = 2.0) -> list[NDArray[np.uint8]]:
    """Pictures of a still scene with sensor noise."""
    rng = np.random.default_rng(seed)
    scene = np.linspace(40, 200, SHAPE[1])[None, :] * np.ones((SHAPE[0], 1))
    return [
        np.clip(scene + rng.normal(0, sigma, SHAPE), 0, 255).astype(np.uint8) for _ in range(count)
    ]


def encoded(pictures: Pictures, **options: str) -> list[NDArray[np.uint8]]:
    """The pictures as they come out of H.264."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = pictures[0].shape
        stream.pix_fmt = "yuv420p"
        for picture in [*pictures, None]:
            image = None
            if picture is not None:
                image = av.VideoFrame.from_ndarray(picture, format="gray").reformat(
                    format="yuv420p"
                )
            for packet in stream.encode(image):
                container.mux(packet)
    memory.seek(0)
    with av.open(memory) as container:
        return [each.to_ndarray(format="gray") for each in container.decode(video=0)]


def test_a_picture_that_stands_still_is_marked_from_the_set_time_to_its_end() -> None:
    pictures = noisy(90)
    pictures = [*pictures, *[pictures[-1]] * 45, *noisy(30, seed=1)]
    # It stands still from frame 89 on: at 30 frames a second 0.3 s are over at frame 98.
    assert marked(pictures) == list(range(98, 135))
    assert marked(pictures, frozen_seconds=1.0) == list(range(119, 135))
    assert marked(pictures, frozen_seconds=None) == []


def test_a_freeze_every_now_and_then_is_marked_every_time() -> None:
    pictures: list[NDArray[np.uint8]] = []
    for seed in range(5):
        alive = noisy(150, seed=seed)
        pictures += [*alive, *[alive[-1]] * 30]
    found = marked(pictures)
    for freeze in range(5):
        end = 180 * (freeze + 1)
        assert [k for k in found if end - 30 <= k < end] == list(range(end - 22, end))
    assert len(found) == 5 * 22


@pytest.mark.parametrize("repeats", [2, 3, 10, 30])
def test_a_source_that_repeats_its_pictures_is_never_frozen(repeats: int) -> None:
    """A core of 9 Hz in a stream of 30; a recording of 3 or of 1 picture a second in one of 30."""
    pictures = [image for image in noisy(60) for _ in range(repeats)]
    assert marked(pictures) == []


def test_a_codec_that_repeats_a_quiet_live_scene_freezes_it_for_moments_at_most() -> None:
    """Pictures with noise in them, every one: the encoder drops it, and repeats for seconds."""
    for options in (
        {"crf": "35", "preset": "veryfast"},
        {"crf": "28", "preset": "ultrafast", "tune": "zerolatency"},
        {"crf": "23", "preset": "veryfast"},
        {"b": "60k", "preset": "ultrafast", "g": "60"},
    ):
        pictures = encoded(noisy(600), **options)
        repeats = sum(np.array_equal(a, b) for a, b in itertools.pairwise(pictures))
        found = marked(pictures)
        assert len(found) <= 30, (options, repeats, found)


def test_a_freeze_is_still_seen_after_a_codec() -> None:
    alive = noisy(120, sigma=4.0)
    pictures = encoded(
        [*alive, *[alive[-1]] * 60, *noisy(60, seed=1, sigma=4.0)], crf="20", preset="veryfast"
    )
    found = marked(pictures)
    assert len(found) >= 15
    assert found[0] >= 120
    assert found[-1] < 182


def test_a_clock_that_is_burnt_in_and_excluded_does_not_make_a_picture_live() -> None:
    pictures = noisy(150)
    ignore = np.zeros(SHAPE, dtype=np.bool_)
    ignore[:10, :30] = True
    watch = FrozenWatch(WatchdogSettings(), "cam")
    found = []
    for k in range(150):
        image = pictures[min(k, 89)].copy()
        image[2:8, 2:28] = k
        if watch.is_frozen(frame(image, k, ignore=ignore)):
            found.append(k)
    assert found == list(range(98, 150))


def test_a_few_repeated_pictures_of_a_slow_source_are_no_freeze() -> None:
    pictures = noisy(80)
    assert marked([*pictures, pictures[-1], pictures[-1], *noisy(20, seed=2)], fps=1.0) == []


@pytest.mark.parametrize("deep", [False, True])
def test_a_closed_shutter_is_flat_until_it_opens(deep: bool) -> None:
    rng = np.random.default_rng(3)
    closed = [np.clip(128 + rng.normal(0, 0.7, SHAPE), 0, 255).astype(np.uint8) for _ in range(45)]
    alive, again = noisy(60), noisy(30, seed=1)
    pictures: list[NDArray[Any]] = [*alive, *closed, *again]
    if deep:
        pictures = [image.astype(np.uint16) * 40 for image in pictures]
    assert marked(pictures) == list(range(60, 105))
    assert marked(pictures, flat_seconds=None) == []


def test_what_stays_flat_is_the_scene() -> None:
    flat = np.full(SHAPE, 90, dtype=np.uint8)
    rng = np.random.default_rng(4)
    sky = [flat + rng.integers(0, 4, SHAPE).astype(np.uint8) for _ in range(300)]
    found = marked([*noisy(60), *sky], flat_seconds=2.0)
    assert found == list(range(60, 120))
    assert marked(sky) == []  # and what always was


def test_a_plain_sky_with_a_target_is_never_flat() -> None:
    rng = np.random.default_rng(5)
    sky = [
        np.clip(90 + rng.normal(0, 0.6, SHAPE), 0, 255).astype(np.uint8) for _ in range(60)
    ]  # what the flattest real scenes are like
    for k, image in enumerate(sky):
        image[30, 5 + k] = 120
    assert marked([*noisy(60), *sky]) == []


def test_stills_that_change_all_the_time_are_not_frozen(shared_dir: Path) -> None:
    """Photographs of skies in a row, of any size: the published set as a stream."""
    source = open_source(str(shared_dir / "data/NUAA-SIRST/image"), SourceSettings(), "sirst")
    watch = FrozenWatch(WatchdogSettings(), "sirst")
    source.open()
    count = 0
    while (each := source.read()) is not None:
        assert not watch.is_frozen(each), each.index
        count += 1
    source.close()
    assert count == 213


@pytest.mark.parametrize(
    ("clip", "frozen"),
    [
        ("IR_HELICOPTER_016", range(0)),  # every sixth picture repeats the last
        ("IR_HELICOPTER_020", range(0)),
        ("IR_BIRD_013", range(0)),
        ("IR_DRONE_042", range(0)),
        ("IR_DRONE_012", range(54, 67)),  # it stands still from frame 45 to 66, and then jumps
    ],
)
def test_real_clips_are_frozen_where_they_stand_still(
    shared_dir: Path, clip: str, frozen: range
) -> None:
    source = open_source(str(shared_dir / f"data/ir-video/{clip}.mp4"), SourceSettings(), clip)
    watch = FrozenWatch(WatchdogSettings(), clip)
    source.open()
    found = []
    while (each := source.read()) is not None:
        if watch.is_frozen(each):
            found.append(each.index)
    source.close()
    assert found == list(frozen)


class _Played:
    """A file of pictures in memory."""

    name, address, live, corrupt = "cam", "memory://cam", False, 0

    def __init__(self, pictures: Pictures) -> None:
        self._frames = [frame(image, k) for k, image in enumerate(pictures)]

    def open(self) -> None:
        pass

    def read(self) -> Frame | None:
        return self._frames.pop(0) if self._frames else None

    def interrupt(self) -> None:
        self._frames.clear()

    def close(self) -> None:
        pass


class _Hinted(Ticket):
    """Takes the hints of its own frames only."""

    def look(self, hints: Sequence[FocusHints]) -> None:
        found = self.result()
        assert [each.frame_index for each in hints] == [each.frame_index for each in found]


class _SeesOne:
    """Finds one target in whatever it is shown."""

    max_batch = 4
    max_in_flight = 1
    begins_ahead = False

    def __init__(self) -> None:
        self.shown: list[int] = []

    def begin(self, frames: Sequence[Frame]) -> Ticket:
        self.shown += [each.index for each in frames]
        one = np.ones(1)
        return _Hinted(
            [
                Detections(
                    xy=np.array([[30.0, 20.0]]),
                    boxes_xyxy=np.array([[29.5, 19.5, 30.5, 20.5]]),
                    score=0.9 * one,
                    area_px=one,
                    peak_snr=9 * one,
                    extended=np.zeros(1, dtype=np.bool_),
                    frame_index=each.index,
                    pts_seconds=each.pts_seconds,
                )
                for each in frames
            ]
        )

    def describe(self) -> dict[str, str]:
        return {"weights": "fake"}

    def close(self) -> None:
        pass


def test_frozen_frames_are_processed_marked_and_give_no_detections(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alive = noisy(90)
    pictures = [*alive, *[alive[-1]] * 30, *noisy(10, seed=1)]
    detector, tracker = _SeesOne(), FakeTracker()
    log = FramesLog(tmp_path / "frames.jsonl", "full")
    pipeline = Pipeline([Stream(_Played(pictures), tracker, (log,))], detector, settings())
    with caplog.at_level(logging.INFO):
        report = pipeline.run(tick_seconds=0.01)
    lines = [json.loads(line) for line in (tmp_path / "frames.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(130))
    frozen = [line["index"] for line in lines if line["frozen"]]
    assert frozen == list(range(98, 120))
    assert [line["index"] for line in lines if not line["detections"]] == frozen
    # The tracker hears of every frame, and that these say nothing.
    assert tracker.indices == [k for k in range(130) if k not in frozen]
    assert tracker.coasted_seconds == [k / 30 for k in frozen]
    assert detector.shown == [k for k in range(130) if k not in frozen]
    end = report.snapshot.sources[0]
    assert (end.frozen, end.processed, end.stalls, end.detections) == (22, 130, 0, 108)
    assert summarise(report, "cam", settings())["frozen"] == 22
    said = [line.getMessage() for line in caplog.records if line.name == "streamer.frozen"]
    assert len(said) == 2
    assert "stands still" in said[0]
    assert said[1] == "cam: the picture lives again after 0.7 s"


@pytest.mark.parametrize("life", ["m_of_n", "likelihood"])
def test_tracks_coast_through_a_freeze_and_go_on(tmp_path: Path, life: str) -> None:
    """Through 1.2 s of it, though 0.7 s without a detection end a track."""
    alive = noisy(90)
    pictures = [*alive, *[alive[-1]] * 45, *noisy(10, seed=1)]
    chosen = settings(tracker={"confirm_displacement_px": 0, "life": life})
    log = FramesLog(tmp_path / "frames.jsonl", "tracks")
    tracker = build_tracker(chosen.tracker, 0.5)
    Pipeline([Stream(_Played(pictures), tracker, (log,))], _SeesOne(), chosen).run()
    lines = [json.loads(line) for line in (tmp_path / "frames.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines if line["frozen"]] == list(range(98, 135))
    for line in lines[10:]:
        (track,) = line["tracks"]
        assert track["id"] == 1
        assert track["state"] == ("coasting" if line["frozen"] else "confirmed")


def test_the_dashboard_and_the_status_line_show_it() -> None:
    source = SourceSnapshot(
        "cam", "fake://cam", SourceState.RUNNING, frozen=22, frozen_now=True, processed=100
    )
    assert "22 frozen" in status_line(source)
    from rich.console import Console

    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(render(RunSnapshot(1.0, (source,)), "title"))
    text = console.export_text()
    assert "frozen" in text
    assert "running" not in text


def test_a_picture_that_never_lives_again_is_warned_of_seldom_with_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A camera that repeats one picture for ten minutes, 5 times a second; then it lives."""
    alive = noisy(90)
    pictures = [*alive, *[alive[-1]] * 3000, *noisy(5, seed=1)]
    with caplog.at_level(logging.INFO, "streamer.frozen"):
        frozen = marked(pictures, fps=5.0)
    assert len(frozen) == 2999 - 1  # the third repetition is the first that is marked
    said = [(line.levelname, line.getMessage()) for line in caplog.records]
    assert [level for level, _ in said] == [
        "INFO",
        "WARNING",
        "WARNING",
        "WARNING",
        "WARNING",
        "INFO",
    ]
    assert [text.split(" s ")[0] for _, text in said[1:5]] == [
        f"cam: the picture has stood still for {seconds}" for seconds in (60, 120, 240, 480)
    ]
    assert "look at the camera" in said[1][1]
    assert "source.watchdog.frozen_seconds=null" in said[1][1]
