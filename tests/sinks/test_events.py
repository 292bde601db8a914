import json
import logging
import sys
import time
from pathlib import Path

import pytest
from sink_results import result_of, tracks_at

from configs.schema import EventSettings
from streamer.sinks import hook
from streamer.sinks.events import EventSink
from streamer.types import StreamError, TrackState

TENTATIVE, CONFIRMED, COASTING = TrackState.TENTATIVE, TrackState.CONFIRMED, TrackState.COASTING


def live_a_life(sink: EventSink) -> None:
    """Track 7 is born, confirmed at 1 s, last seen at 2 s, lost at 4 s; track 8 stays."""
    sink.write(result_of(0, 0.0, tracks=tracks_at([(1, 1)], ids=[7], state=[TENTATIVE])))
    sink.write(result_of(1, 1.0, tracks=tracks_at([(2, 2)], ids=[7], state=[CONFIRMED])))
    sink.write(result_of(2, 2.0, tracks=tracks_at([(3.5, 3)], ids=[7], state=[CONFIRMED])))
    both = tracks_at([(9, 9), (5, 6)], ids=[7, 8], state=[COASTING, CONFIRMED])
    sink.write(result_of(3, 3.0, tracks=both))
    sink.write(result_of(5, 4.0, tracks=tracks_at([(5, 7)], ids=[8])))
    sink.close()


def command(code: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", code, *arguments)


def test_a_track_is_told_when_confirmed_and_when_lost(tmp_path: Path) -> None:
    sink = EventSink(tmp_path / "events.jsonl", EventSettings(), "gate")
    live_a_life(sink)
    sink.close()
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(e["event"], e["id"], e["frame"]) for e in events] == [
        ("confirmed", 7, 1),
        ("confirmed", 8, 3),
        ("lost", 7, 5),
        ("lost", 8, 5),
    ]
    assert events[0] == {
        "event": "confirmed", "utc": 1_770_000_001.0, "pts": 1.0, "source": "gate", "frame": 1,
        "id": 7, "x": 2.0, "y": 2.0, "vx": 3.0, "vy": -4.0, "score": 0.9,
    }  # fmt: skip
    lost = events[2]
    assert (lost["x"], lost["y"]) == (3.5, 3.0)  # last seen, not the prediction
    assert (lost["reason"], lost["duration_seconds"]) == ("no detections", 1.0)
    assert (lost["last_seen_pts"], lost["last_seen_frame"], lost["pts"]) == (2.0, 2, 4.0)
    assert events[3]["reason"] == "end of stream"


def test_events_are_printed_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = EventSettings(jsonl=False, stdout=True)
    live_a_life(EventSink(tmp_path / "events.jsonl", settings, "gate"))
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["confirmed"] * 2 + ["lost"] * 2
    assert not (tmp_path / "events.jsonl").exists()


def test_the_command_gets_the_event(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    code = "import sys; open(sys.argv[1], 'a').write('|'.join(sys.argv[2:]) + sys.stdin.read())"
    arguments = (str(out), "{event}", "{id}", "{x}:{y}", "{source} {score}", "{other}", "$HOME; ls")
    settings = EventSettings(command=command(code, *arguments))
    live_a_life(EventSink(tmp_path / "events.jsonl", settings, "gate"))
    lines = out.read_text().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith('confirmed|7|2.0:2.0|gate 0.9|{other}|$HOME; ls{"event":"confirmed"')
    told = [line[line.index('{"event"') :] for line in lines]
    assert told == (tmp_path / "events.jsonl").read_text().splitlines()


def test_a_program_that_hangs_is_killed_and_delays_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = "import time; time.sleep(60)"
    settings = EventSettings(command=command(code), command_timeout_seconds=0.4)
    sink = EventSink(tmp_path / "events.jsonl", settings, "gate")
    started = time.monotonic()
    for index in range(20):
        sink.write(result_of(index, tracks=tracks_at([(1, 1)], ids=[index + 1])))
    assert time.monotonic() - started < 0.3
    with caplog.at_level(logging.INFO):
        sink.close()
    assert time.monotonic() - started < 3.0
    assert "left at the end" in caplog.text
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 40


def test_failures_are_warned_of_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = EventSettings(command=command("raise SystemExit(3)"))
    live_a_life(EventSink(tmp_path / "events.jsonl", settings, "gate"))
    complaints = [r for r in caplog.records if "ended with 3" in r.getMessage()]
    assert len(complaints) == 1
    assert complaints[0].levelno == logging.WARNING
    assert "4 runs, 4 of them failed; 0 events dropped" in caplog.text


def test_events_a_slow_program_cannot_take_are_dropped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = "import time; time.sleep(60)"
    settings = EventSettings(command=command(code), command_timeout_seconds=0.5)
    sink = EventSink(tmp_path / "events.jsonl", settings, "gate")
    many = hook.MAX_WAITING + 10
    sink.write(result_of(0, tracks=tracks_at([(1, 1)] * many)))
    sink.close()
    assert "too slow" in caplog.text
    assert "0 events dropped" not in caplog.text
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 2 * many


def test_a_missing_program_is_refused_at_once(tmp_path: Path) -> None:
    settings = EventSettings(command=("no-such-program-anywhere",))
    with pytest.raises(StreamError, match="no-such-program-anywhere"):
        EventSink(tmp_path / "events.jsonl", settings, "gate")
