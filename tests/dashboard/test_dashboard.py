"""The dashboard, as its console shows it, and the log lines beside it."""

import io
import logging
from dataclasses import replace

import pytest
from rich.console import Console

from streamer.dashboard import LiveDashboard, LogDashboard, render, status_line
from streamer.logs import set_up_logging
from streamer.stats import LatencySummary, RunSnapshot, SourceSnapshot

LATENCY = LatencySummary(21.3, 34.8, 51.2, 80.1, 400)


def snapshot(*sources: SourceSnapshot) -> RunSnapshot:
    return RunSnapshot(61.0, sources)


def shown(run: RunSnapshot, title: str = "weights", width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(render(run, title))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_every_number_is_there_on_a_narrow_terminal() -> None:
    source = SourceSnapshot(
        "camera", "rtsp://c", "running", processed=480, dropped=14, corrupt=3, fps_in=30.0,
        fps_out=28.8, queue_depth=1, queue_capacity=2, tracks_live=5, tracks_total=9,
        latency_ms=LATENCY, stage_ms={"network": LATENCY},
    )  # fmt: skip
    text = shown(snapshot(source))
    for word in ("running", "30.0", "28.8", "480", "1/2", "14", "3", "5 of 9", "21.3", "51.2",
                 "network", "1:01"):  # fmt: skip
        assert word in text
    assert "…" not in text


def test_a_long_name_is_cut_and_no_number() -> None:
    sources = [
        SourceSnapshot(
            name, "", "running", processed=123456, fps_in=119.8, fps_out=119.8, dropped=1234,
            queue_capacity=8, tracks_live=3, tracks_total=1240,
        )
        for name in ("IR_HELICOPTER_010-of-the-airport", "b")
    ]  # fmt: skip
    text = shown(snapshot(*sources))
    assert text.count("3 of 1240") == 2
    assert text.count("123456") == text.count("1234 ") == 2
    assert "IR_" in text


def test_the_last_line_gives_the_whole_run_s_rate() -> None:
    ended = SourceSnapshot("a", "", "ended", processed=40, fps_in=0.0, fps_out=0.2, fps_mean=24.9)
    assert status_line(ended).startswith("a: ended, 40 frames, 24.9 fps, latency")
    assert "0 corrupt, 0 tracks" in status_line(ended)
    marked = replace(ended, frozen=7, damaged=3)
    assert "0 corrupt, 7 frozen, 3 damaged, 0 tracks" in status_line(marked)


def test_a_failed_source_says_why_without_its_password() -> None:
    failed = SourceSnapshot("c", "", "failed", error="rtsp://u:s3cr3t@cam timed out")
    text = shown(snapshot(failed))
    assert "timed out" in text
    assert "s3cr3t" not in text


def test_brackets_in_names_and_folders_are_text_and_no_markup() -> None:
    text = shown(snapshot(SourceSnapshot("[red]cam", "", "running")), "results in out[/bold]")
    assert "[red]cam" in text
    assert "out[/bold]" in text


def test_the_last_numbers_stay_when_the_run_ends_between_two_refreshes() -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=True)
    with LiveDashboard(console, "weights") as dashboard:
        dashboard.show(snapshot(SourceSnapshot("camera", "", "running", processed=1)))
        dashboard.show(snapshot(SourceSnapshot("camera", "", "ended", processed=777)))
    file = console.file
    assert isinstance(file, io.StringIO)
    assert "777" in file.getvalue()


def test_elsewhere_a_line_for_each_source_when_it_is_due(caplog: pytest.LogCaptureFixture) -> None:
    run = snapshot(SourceSnapshot("a", "", "running"), SourceSnapshot("b", "", "waiting"))
    with caplog.at_level(logging.INFO), LogDashboard(1e-9) as due, LogDashboard(1e9) as not_due:
        due.show(run)
        not_due.show(run)
    assert [record.getMessage()[:2] for record in caplog.records] == ["a:", "b:"]


@pytest.mark.parametrize("terminal", [True, False])
def test_no_log_line_nor_traceback_shows_a_password(
    terminal: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        set_up_logging("info", Console(file=screen, force_terminal=True) if terminal else None)
        try:
            raise RuntimeError("rtsp://u:s3cr3t@cam/x broke")
        except RuntimeError:
            logging.getLogger("probe").exception("lost %s", "rtsp://u:s3cr3t@cam/x")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    text = screen.getvalue() + capsys.readouterr().err
    assert "lost" in text
    assert "broke" in text
    assert "s3cr3t" not in text
