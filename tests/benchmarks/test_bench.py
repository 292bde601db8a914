"""The arithmetic of the benchmark, and one short run. Nothing here is about time limits."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.__main__ import main
from benchmarks.live import CAMERAS, pooled
from benchmarks.material import MemorySource, back_and_forth, render, rendered_clip
from benchmarks.network import Call, Case, Effort, measure_case
from benchmarks.report import Column, Part, paired_ratio, percentile
from benchmarks.streams import whole_frames
from benchmarks.tracker import crowd
from configs.schema import DetectorSettings, SourceSettings
from model.detector import NetworkDetector
from model.engines.base import EngineBatch
from streamer.sources.factory import open_source
from streamer.stats import LatencySummary, RunSnapshot, SourceSnapshot
from streamer.types import Frame, Image


def test_a_ratio_is_the_median_of_pairs() -> None:
    # The machine was three times slower in the last round, for both.
    assert paired_ratio([2.0, 2.2, 6.0], [1.0, 1.0, 3.0]) == 2.0
    assert paired_ratio([1.0, 1.0], [4.0, 2.0]) == 0.375
    with pytest.raises(ValueError, match="zip"):
        paired_ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 50.0), (99, 99.0), (100, 100.0), (0, 1.0), (99.5, 100.0)]
)
def test_percentiles(percent: float, expected: float) -> None:
    assert percentile([float(k) for k in range(100, 0, -1)], percent) == expected
    assert percentile([7.0], percent) == 7.0


def test_a_part_becomes_a_table_and_plain_values() -> None:
    columns = (Column("what", "what"), Column("ratio", "ratio", "{:.2f}x"))
    rows = [{"what": "a|b", "ratio": 1.236, "rounds": [1.0]}, {"what": "c"}]
    part = Part("network", "About it.", columns, rows, {"detector": "d"})
    assert part.markdown() == (
        "## network\n\nAbout it.\n\n"
        "| what | ratio |\n| --- | ---: |\n| a\\|b | 1.24x |\n| c | - |\n"
    )
    assert part.numbers() == {"about": "About it.", "detector": "d", "rows": rows}


class FakeNetwork:
    """Notes its calls; a clock of its own says how long each took."""

    def __init__(self, title: str, kind: str, seconds: float, calls: list[str]) -> None:
        self.title, self.kind, self._seconds, self._calls = title, kind, seconds, calls

    def bind(self, case: Case) -> Call:
        def call() -> float | None:
            self._calls.append(self.title)
            return self._seconds if self.kind == "cuda" else None

        return call


def test_a_case_is_measured_in_turns_against_its_own_device() -> None:
    calls: list[str] = []
    networks = [
        FakeNetwork("cpu", "cpu", 1.0, calls),
        FakeNetwork("gpu base", "cuda", 0.4, calls),
        FakeNetwork("gpu", "cuda", 0.1, calls),
    ]
    effort = Effort(rounds=3, min_rounds=3, slot_seconds=0.0, budget_seconds=0.0)
    rows = measure_case(Case("x", 8, 8, 2, 1), networks, effort)
    warm_up = ["cpu", *["gpu base"] * 5, *["gpu"] * 5]
    in_turns = [
        *("cpu", "cpu", "gpu base", "gpu base", "gpu", "gpu"),  # each first calls once untimed
        *("gpu base", "gpu", "cpu"),
        *("gpu", "cpu", "gpu base"),
    ]
    assert calls == warm_up + in_turns
    assert [row["rounds"] for row in rows] == [3, 3, 3]
    assert [row["ratio"] for row in rows[:2]] == [1.0, 1.0]
    assert [row["device_ratio"] for row in rows] == [None, 1.0, pytest.approx(4.0)]
    assert [row["device_ms"] for row in rows] == [None, pytest.approx(400), pytest.approx(100)]
    assert rows[0]["per_second"] == pytest.approx(2e3 / rows[0]["ms"])


def test_rounds_end_with_the_budget_once_there_are_enough() -> None:
    effort = Effort(rounds=9, min_rounds=2, slot_seconds=0.0, budget_seconds=0.0)
    rows = measure_case(Case("x", 8, 8, 1, 1), [FakeNetwork("a", "cpu", 1.0, [])], effort)
    assert rows[0]["rounds"] == 2


def test_live_sources_are_pooled() -> None:
    def source(name: str, processed: int, p50: float, p99: float) -> SourceSnapshot:
        latency = LatencySummary(p50=p50, p99=p99)
        stages = {"network": LatencySummary(p50=p50 / 2), "frames": LatencySummary(p50=500.0)}
        return SourceSnapshot(
            name, name, "ended", captured=100, processed=processed, dropped=100 - processed,
            latency_ms=latency, stage_ms=stages | ({"track": LatencySummary()} if p50 > 20 else {}),
        )  # fmt: skip

    row = pooled(RunSnapshot(4.0, (source("a", 100, 10.0, 20.0), source("b", 60, 30.0, 90.0))))
    assert (row["sources"], row["dropped"], row["fps"], row["fps_each"]) == (2, 0.2, 40.0, 20.0)
    assert (row["latency_ms_p50"], row["latency_ms_p99"]) == (20.0, 90.0)
    # Files are written once the tracks are known; a stage that only one source has is there, too.
    assert row["slowest_stage"] == "network"
    assert row["stage_ms_p50"] == {"network": 10.0, "frames": 500.0, "track": 0.0}


def test_the_cameras_of_a_gpu_are_larger_faster_and_no_fewer() -> None:
    assert {kind: (each.width, each.height, each.fps) for kind, each in CAMERAS.items()} == {
        "cpu": (320, 256, 30),
        "cuda": (640, 512, 60),
    }
    assert all(each.counts == (1, 2, 4, 8, 16) for each in CAMERAS.values())
    assert [image.shape for image in render(2, width=640, height=512, fps=60)] == [(512, 640)] * 2


class NotesBatches:
    """An engine that sees nothing and keeps what it was given."""

    name = device = precision = "none"
    max_in_flight = 1

    def __init__(self) -> None:
        self.batches: list[EngineBatch] = []

    def submit(self, batch: EngineBatch) -> "NotesBatches":
        self.batches.append(batch)
        return self

    @property
    def stage_seconds(self) -> dict[str, float]:
        return {}

    def result(self) -> NDArray[np.float32]:
        return np.zeros((len(self.batches[-1].images), *self.batches[-1].images[0].shape), "f4")

    def trim(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize("scan_px", [96, 256])
def test_the_network_alone_gets_what_the_detector_gives_it(scan_px: int) -> None:
    images = render(2)
    engine = NotesBatches()
    settings = DetectorSettings()
    detector = NetworkDetector(
        engine, settings, threshold=0.5, max_batch=1, mode="full", scan_px=scan_px, description={}
    )
    for k, image in enumerate(images):
        detector.submit([Frame(image, 8, k, k / 30, 0.0, 0.0, "a")]).result()
    batches = whole_frames(images, scan_px)
    assert len(batches) == len(engine.batches) == 2
    assert len(batches[0].images) == {96: 12, 256: 1}[scan_px]
    for got, want in zip(batches, engine.batches, strict=True):
        assert got.attention_grid == want.attention_grid
        for name in ("images", "gain", "offset"):
            np.testing.assert_array_equal(getattr(got, name), getattr(want, name))


def test_back_and_forth() -> None:
    assert [back_and_forth(k, 4) for k in range(9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]


def pictures(count: int) -> list[Image]:
    return [np.full((4, 6), k, dtype=np.uint8) for k in range(count)]


def read_all(source: MemorySource) -> list[Frame]:
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)
    return frames


def test_the_memory_source_keeps_its_pace_and_drops_nothing() -> None:
    source = MemorySource(pictures(5), "m", frames=21, fps=100.0, delay_seconds=0.05, offset=3)
    assert source.live
    began = time.monotonic()
    source.open()
    frames = read_all(source)
    assert time.monotonic() - began >= 0.25 - 0.01  # the last one is due then, and not before
    assert [frame.index for frame in frames] == list(range(21))
    assert [int(frame.image[0, 0]) for frame in frames[:6]] == [3, 4, 3, 2, 1, 0]
    np.testing.assert_allclose(np.diff([frame.pts_seconds for frame in frames]), 0.01)
    np.testing.assert_allclose(np.diff([frame.captured_seconds for frame in frames]), 0.01)
    assert source.corrupt == 0
    source.close()


def test_who_reads_the_memory_source_late_finds_every_frame_and_when_it_was_due() -> None:
    source = MemorySource(pictures(3), "m", frames=10, fps=200.0)
    source.open()
    first = source.read()
    assert first is not None
    time.sleep(0.06)
    late = time.monotonic()
    frames = read_all(source)
    assert [frame.index for frame in frames] == list(range(1, 10))
    assert all(frame.captured_seconds < late for frame in frames)
    source.close()
    source.open()
    again = source.read()
    assert again is not None
    assert again.index == 0


def test_a_wait_of_the_memory_source_can_be_interrupted() -> None:
    source = MemorySource(pictures(2), "m", frames=1, delay_seconds=3600.0)
    source.open()
    source.interrupt()
    assert source.read() is None


def test_the_rendered_clip_has_its_frames_and_goes_away() -> None:
    with rendered_clip(4) as clip:
        source = open_source(str(clip), SourceSettings(), "clip")
        source.open()
        frames = [source.read() for _ in range(5)]
        source.close()
    assert [None if frame is None else frame.image.shape for frame in frames] == [
        *[(256, 320)] * 4,
        None,
    ]
    assert [round(frame.pts_seconds * 30) for frame in frames if frame] == [0, 1, 2, 3]
    assert not clip.exists()


def test_the_crowd_is_the_same_every_time() -> None:
    one, other = list(crowd(10, 3)), list(crowd(10, 3))
    assert [len(each) for each in one] == [len(each) for each in other]
    np.testing.assert_array_equal(one[2].xy, other[2].xy)
    assert [each.frame_index for each in one] == [0, 1, 2]


def test_a_quick_run_of_one_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_path, markdown_path = tmp_path / "new" / "bench.json", tmp_path / "new" / "bench.md"
    arguments = ["--json", str(json_path), "--markdown", str(markdown_path), "--quick"]
    assert main([*arguments, "--only", "tracker"]) == 0
    numbers = json.loads(json_path.read_text())
    assert {"date", "machine", "versions", "git", "threads", "quick", "parts"} <= numbers.keys()
    assert numbers["machine"]["cores"] >= 1
    assert {"python", "torch", "numpy", "openvino", "av"} <= numbers["versions"].keys()
    assert list(numbers["parts"]) == ["tracker"]
    rows = numbers["parts"]["tracker"]["rows"]
    assert [row["targets"] for row in rows] == [10, 100, 1000]
    for row in rows:  # the tracker did what is measured: it followed nearly all of them
        assert 0 < row["step_ms"] <= row["step_ms_p99"]
        assert row["reported"] >= 0.7 * row["targets"]
    said = capsys.readouterr()
    assert "## tracker" in markdown_path.read_text()
    assert said.out == markdown_path.read_text()
    assert "tracker ..." in said.err


def test_the_cameras_that_are_timed_are_seen_as_what_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_path = tmp_path / "bench.json"
    assert main(["--json", str(json_path), "--quick", "--only", "camera"]) == 0
    rows = json.loads(json_path.read_text())["parts"]["camera"]["rows"]
    assert [row["still_share"] for row in rows] == [1, 0, 1, 0]
    assert [row["trusted_share"] for row in rows] == [1, 1, 1, 1]
    assert all(0 < row["look_ms"] <= row["look_ms_p99"] for row in rows)
    assert "| pans | 640x512 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--only", "nothing"], ["--threads", "0"], ["--device", "tpu"]]
)
def test_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_what_cannot_be_written_is_said_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    assert main(["--json", str(in_the_way / "bench.json"), "--only", "tracker"]) == 1
    assert capsys.readouterr().err.startswith("error: ")
