"""summary.json says what the run did, is strict JSON, and is whole or not there."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pipeline_fakes import (
    BREAK,
    CORRUPT,
    FRAME,
    FakeDetector,
    FakeSink,
    FakeSource,
    FakeTracker,
    settings,
)

from streamer.pipeline import Pipeline, Stream
from streamer.summary import write_summary
from streamer.types import StreamError


def refuse_constant(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


def read(path: Path) -> Any:
    return json.loads(path.read_text(), parse_constant=refuse_constant)


def pipeline(*sources: FakeSource, tracker: FakeTracker | None = None) -> Pipeline:
    return Pipeline(
        [Stream(source, tracker or FakeTracker(), (FakeSink("record"),)) for source in sources],
        FakeDetector(),
        settings(),
    )


def test_it_says_what_the_contract_says(tmp_path: Path) -> None:
    report = pipeline(FakeSource(sessions=[[FRAME, CORRUPT, FRAME, FRAME]])).run(tick_seconds=0.01)
    write_summary(tmp_path / "summary.json", report, "cam", settings(run={"max_frames": 9}))
    summary = read(tmp_path / "summary.json")
    assert summary["frames"] == {"captured": 4, "processed": 3, "dropped": 0, "corrupt": 1}
    assert (summary["reconnects"], summary["stalls"]) == (0, 0)
    assert summary["fps"] > 0
    assert set(summary["stage_ms"]) == {"queue", "network", "track", "record"}
    for times in (summary["latency_ms"], *summary["stage_ms"].values()):
        assert list(times) == ["p50", "p95", "p99", "max"]
        assert 0 <= times["p50"] <= times["p95"] <= times["p99"] <= times["max"]
    assert (summary["detections"], summary["tracks"]) == (0, 0)
    assert (summary["weights"], summary["weights_sha256"]) == ("fake", "0" * 64)
    assert summary["device"] == "cpu"
    assert (summary["source"], summary["address"]) == ("cam", "fake://cam")
    assert summary["picture"] == {"width": 8, "height": 4}
    assert (summary["exit_reason"], summary["error"]) == ("finished", None)
    started, ended = (datetime.fromisoformat(summary[f"{at}_utc"]) for at in ("started", "ended"))
    assert started <= ended
    assert started.utcoffset() is not None
    assert summary["settings"]["run"]["max_frames"] == 9
    assert {"python", "numpy"} <= set(summary["versions"])
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_each_source_has_its_own_and_one_that_failed_says_so(tmp_path: Path) -> None:
    report = pipeline(
        FakeSource("good", frames=3), FakeSource("bad", sessions=[[FRAME, BREAK]])
    ).run(tick_seconds=0.01)
    for name in ("good", "bad"):
        write_summary(tmp_path / f"{name}.json", report, name, settings())
    good, bad = read(tmp_path / "good.json"), read(tmp_path / "bad.json")
    assert (good["exit_reason"], good["error"]) == ("finished", None)
    assert (bad["exit_reason"], bad["error"]) == ("failed", "fake://bad broke off")
    assert bad["frames"]["processed"] == 1


def test_a_run_that_raised_has_one_too(tmp_path: Path) -> None:
    broken = pipeline(FakeSource(frames=9), tracker=FakeTracker(fail_at=4))
    with pytest.raises(RuntimeError):
        broken.run(tick_seconds=0.01)
    write_summary(tmp_path / "summary.json", broken.report, "cam", settings())
    summary = read(tmp_path / "summary.json")
    assert summary["exit_reason"] == "failed"
    assert summary["error"] == "RuntimeError: a bug in the tracker"
    frames = summary["frames"]
    assert frames["processed"] == 4
    assert frames["captured"] == frames["processed"] + frames["dropped"] + frames["corrupt"]


def test_a_run_without_a_frame_is_valid_json(tmp_path: Path) -> None:
    report = pipeline(FakeSource(frames=0)).run(tick_seconds=0.01)
    write_summary(tmp_path / "summary.json", report, "cam", settings())
    summary = read(tmp_path / "summary.json")
    assert summary["picture"] is None
    assert summary["fps"] == 0
    assert summary["latency_ms"] == {"p50": 0, "p95": 0, "p99": 0, "max": 0}


def test_passwords_do_not_reach_it(tmp_path: Path) -> None:
    source = FakeSource(frames=1)
    source.address = "rtsp://me:hunter2@host/a"
    report = pipeline(source).run(tick_seconds=0.01)
    command = ["notify", "https://me:hunter2@host/hook", "--bearer", "hunter2"]
    used = settings(output={"events": {"command": command}})
    write_summary(tmp_path / "summary.json", report, "cam", used)
    text = (tmp_path / "summary.json").read_text()
    assert "hunter2" not in text
    summary = read(tmp_path / "summary.json")
    assert summary["address"] == "rtsp://***@host/a"
    assert summary["settings"]["output"]["events"]["command"] == ["notify", "***", "***", "***"]


def test_an_old_summary_is_replaced_and_a_missing_folder_is_said(tmp_path: Path) -> None:
    report = pipeline(FakeSource(frames=1)).run(tick_seconds=0.01)
    (tmp_path / "summary.json").write_text("old")
    write_summary(tmp_path / "summary.json", report, "cam", settings())
    assert read(tmp_path / "summary.json")["frames"]["processed"] == 1
    with pytest.raises(StreamError, match=r"cannot write .*/none/summary.json: No such file"):
        write_summary(tmp_path / "none" / "summary.json", report, "cam", settings())
