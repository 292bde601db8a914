#!/usr/bin/env python3
"""Point it at a stream: frames in, tracks and annotated video out.

This is the only place that wires the parts together: settings, sources, the detector, a tracker
and sinks for each source, the pipeline that runs them, and the summary at the end.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":  # until the run begins, Ctrl-C just ends it: no traceback of an import
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import importlib.metadata
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console

from configs.load import SettingsError, load_settings, override, preset_names
from configs.reference import render_reference
from configs.schema import StreamSettings
from streamer.dashboard import Dashboard, LiveDashboard, LogDashboard, status_line
from streamer.logs import set_up_logging
from streamer.patience import done_within
from streamer.redact import redact
from streamer.types import StreamError

if TYPE_CHECKING:
    from streamer.pipeline import Pipeline
    from streamer.stats import RunSnapshot

log = logging.getLogger(__name__)

FINISHED, FAILED, WRONG_USAGE = 0, 1, 2
DEMONSTRATION = "synthetic:"
PRINT_SECONDS = 0.5
MORE = "--set logs.level=debug shows more"


class _Parser(argparse.ArgumentParser):
    """Wrong usage is often an address in the wrong place, and argparse repeats what it got."""

    def error(self, message: str) -> NoReturn:
        super().error(redact(message))


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = _Parser(
        prog="run_stream.py",
        description="Detect and track small targets in infrared video.",
        epilog=f"""\
examples:
  run_stream.py                                   the built-in demonstration
  run_stream.py rtsp://user:password@camera/live  an IP camera, until Ctrl-C
  run_stream.py recording.mp4 --display           a recording, watched while it runs
  run_stream.py frames/ --set source.fps=25       a folder of PNG, TIFF, BMP or JPEG
  run_stream.py /dev/video0 cam2.mp4 --config replay --max-seconds 60

what lies in DIR afterwards:
  annotated.mp4  every frame with its tracks drawn    tracks.txt    MOTChallenge
  frames.jsonl   every detection and track            events.jsonl  confirmed and lost
  summary.json   counts, rates, latencies, settings   crash.txt     the traceback of a bug
  tracks_smoothed.txt  the same tracks from beginning to end, smoothed; not of live sources
  annotated-0002.mp4, frames-0002.jsonl, ..., original.mkv, clips/: see output.record, output.logs
  and output.clips in the settings

presets for --config: {", ".join(preset_names())}
exit code: 0 finished, 1 something failed or could not be written, 2 wrong usage,
130 Ctrl-C, 143 SIGTERM.""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="a video file, a folder or glob of frames, rtsp://..., a camera (/dev/video0 or 0), "
        "or synthetic:; none: the demonstration",
    )
    made.add_argument("--config", metavar="FILE", help="a preset's name or a YAML file")
    made.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, on top"
    )
    made.add_argument("--weights", metavar="NAME|PATH", help="the network's weights")
    made.add_argument("--device", metavar="auto|cpu|cuda[:N]", help="where the network runs")
    made.add_argument("--output", metavar="DIR", help="a used one is never overwritten")
    made.add_argument(
        "--display", action=argparse.BooleanOptionalAction, default=None, help="open a window"
    )
    made.add_argument(
        "--record", action=argparse.BooleanOptionalAction, default=None, help="write annotated.mp4"
    )
    made.add_argument("--max-frames", type=int, metavar="N", help="stop after N frames a source")
    made.add_argument("--max-seconds", type=float, metavar="S", help="stop after S seconds")
    made.add_argument(
        "--help-settings", action="store_true", help="every setting: unit, limits and default"
    )
    made.add_argument("--version", action="store_true", help="the program's version")
    return made


def settings_of(options: argparse.Namespace) -> StreamSettings:
    """The settings that the arguments ask for: preset or file, then --set, then the options."""
    by_option = {
        "detector.weights": options.weights,
        "detector.device": options.device,
        "output.directory": options.output,
        "output.display.enabled": options.display,
        "output.record.enabled": options.record,
        "run.max_frames": options.max_frames,
        "run.max_seconds": options.max_seconds,
    }
    given = [override(key, value) for key, value in by_option.items() if value is not None]
    return load_settings(options.config, [*options.set, *given])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    # Intermixed: `a.mp4 --display rtsp://camera/live` names two sources.
    options = parser().parse_intermixed_args(arguments)
    if options.version or options.help_settings:
        print(_version() if options.version else render_reference(), end="")
        return FINISHED
    try:
        settings = settings_of(options)
    except SettingsError as error:
        return _say(error, WRONG_USAGE)
    wants_live = settings.logs.dashboard
    console = Console(stderr=True)
    live = wants_live == "on" or (wants_live == "auto" and console.is_terminal)
    set_up_logging(settings.logs.level, console if live else None)
    try:
        return stream(options.sources or [DEMONSTRATION], settings, console if live else None)
    except StreamError as error:
        return _failed(error)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:  # a bug: one line says which, and where
        log.debug("the traceback", exc_info=error)
        return _say(f"{_located(error)}; {MORE}", FAILED)


def stream(addresses: Sequence[str], settings: StreamSettings, console: Console | None) -> int:
    """Run the sources to their end and report; returns the exit code.

    Raises:
        StreamError: something failed that ends the whole run.
    """
    # Torch and OpenCV take seconds to load: --help and wrong usage do not wait for them.
    from streamer.demo import TruthScore
    from streamer.output_folder import claim_folder, source_folders
    from streamer.pipeline import Pipeline, Stream
    from streamer.sinks.disk import Disk
    from streamer.sinks.factory import build_sinks
    from streamer.sinks.hook import kill_programs
    from streamer.sinks.window import Window
    from streamer.sources.factory import open_source, probe, source_names
    from streamer.sources.synthetic import SyntheticSource
    from streamer.summary import trouble, write_summary
    from tracking import RtsSmoother, build_tracker

    names = source_names(addresses)
    pairs = zip(addresses, names, strict=True)
    try:
        sources = [open_source(address, settings.source, name) for address, name in pairs]
    except ValueError as error:
        return _say(error, WRONG_USAGE)
    probe(sources)
    display = settings.output.display
    window = Window(display.max_fps) if display.enabled else None

    from model.checkpoint import WeightsError
    from model.detector import build_detector

    try:
        detector = build_detector(settings.detector, sources=len(sources))
    except WeightsError as error:
        raise StreamError(str(error)) from error
    disks: dict[str, Disk] = {}
    scores: dict[str, TruthScore] = {}
    streams = []
    with ExitStack() as undo:
        undo.callback(detector.close)
        root = claim_folder(settings.output.directory)
        folders = source_folders(root, names)
        for source in sources:
            name, folder = source.name, folders[source.name]
            disks[name] = Disk(folder, settings.output.disk, name)
            smooths = settings.output.tracks_smoothed and not source.live
            sinks = build_sinks(
                folder,
                settings,
                source=name,
                window=window,
                live=source.live,
                disk=disks[name],
                smoother=RtsSmoother() if smooths else None,
            )
            if isinstance(source, SyntheticSource):
                scores[name] = TruthScore(source.scene, detector.threshold)
                sinks.append(scores[name])
            for sink in sinks:
                undo.callback(sink.close)
            tracker = build_tracker(settings.tracker, detector.threshold)
            streams.append(Stream(source, tracker, tuple(sinks)))
        undo.pop_all()

    pipeline = Pipeline(streams, detector, settings)
    signals = _Signals(pipeline, kill_programs)
    dashboard: Dashboard = LogDashboard(settings.logs.every_seconds)
    if console is not None:
        ran = detector.describe()
        title = f"{ran['weights']} on {ran['device']} ({ran['engine']}), results in {root}"
        dashboard = LiveDashboard(console, title)

    def on_tick(snapshot: RunSnapshot) -> None:
        signals.tell()
        dashboard.show(snapshot)

    try:
        with dashboard:
            pipeline.run(on_tick, pump=None if window is None else window.pump)
            dashboard.show(pipeline.snapshot())
    except StreamError:
        raise
    except Exception as error:
        raise StreamError(f"{_located(error)}; {_leave_traceback(root, error)}") from error
    finally:
        unwritten: dict[str, str] = {}

        def summarise(name: str) -> None:
            path, outputs = folders[name] / "summary.json", disks[name].reports()
            try:
                write_summary(path, pipeline.report, name, settings, outputs)
            except StreamError as error:
                unwritten[name] = str(error)
                log.error("%s: %s", name, error)

        def close_disk(name: str) -> None:
            before = disks[name].reports()
            disks[name].close()
            if disks[name].reports() != before and name not in unwritten:
                summarise(name)

        with ExitStack() as ending:  # whatever fails here, the rest is done all the same
            ending.callback(kill_programs)  # of a sink that hung and was given up
            ending.callback(detector.close)
            if window is not None:
                ending.callback(window.close)
            # The last is done first: all summaries, before anything that may take its time.
            for work in (close_disk, summarise):
                for name in folders:
                    ending.callback(work, name)
    said = [status_line(each) for each in pipeline.report.snapshot.sources]
    said += [score.verdict() for score in scores.values()]
    lost = {name: problem for name, disk in disks.items() if (problem := trouble(disk.reports()))}
    lost = unwritten | lost
    for name, problem in lost.items():
        print(f"{name}: {problem}", file=sys.stderr)
    said.append(f"results: {root}")
    # Who asked for the end does not wait for a reader of standard output that hangs.
    in_time = _print(said, PRINT_SECONDS if signals.received else None)
    if len(signals.received) > 1 or not in_time:
        signals.exit()
    if signals.received:
        return 128 + signals.received[0]
    return FAILED if pipeline.report.failed or lost else FINISHED


class _Signals:
    """Ctrl-C and SIGTERM: the first ends the run in order, the second gives up within seconds what
    hangs, a third ends the program at once.
    """

    def __init__(self, pipeline: Pipeline, clean_up: Callable[[], None]) -> None:
        self.received: list[int] = []
        self._pipeline = pipeline
        self._clean_up = clean_up
        self._told = False
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, self._handle)

    def tell(self) -> None:
        """Say once that a signal was heard; not in the handler, which may interrupt a log line."""
        if self.received and not self._told:
            self._told = True
            name = signal.Signals(self.received[0]).name
            log.info("%s: finishing the files; a second one does not wait for what hangs", name)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(number)
        if len(self.received) == 1:
            self._pipeline.stop(signal.Signals(number).name)
        elif len(self.received) == 2:
            self._pipeline.hurry()
        else:
            self.exit()

    def exit(self) -> NoReturn:
        """End the program at once: a thread that was given up could hang Python's own end, too."""
        self._clean_up()
        os._exit(128 + self.received[0])


def _version() -> str:
    try:
        return f"irtrack {importlib.metadata.version('irtrack')}\n"
    except importlib.metadata.PackageNotFoundError:
        return "irtrack, not installed as a package\n"


def _located(error: Exception) -> str:
    """An exception that nobody foresaw, with the place of ours where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    here = str(Path(__file__).resolve().parent)
    ours = [each for each in frames if each.filename.startswith(here)] or frames
    where = f" in {Path(ours[-1].filename).name}, line {ours[-1].lineno}" if ours else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{where}: {text}"


def _leave_traceback(folder: Path, error: Exception) -> str:
    """Write the traceback into the folder; gives the words that say so."""
    path = folder / "crash.txt"
    try:
        path.write_text(redact("".join(traceback.format_exception(error))), encoding="utf-8")
    except OSError:
        return MORE
    return f"{path} holds the traceback"


def _print(lines: Sequence[str], seconds: float | None) -> bool:
    """Print to standard output; False where nobody takes it within the time, if there is one."""

    def work() -> None:
        print("\n".join(lines), flush=True)

    if seconds is not None:
        return done_within(seconds, work)
    work()
    return True


def _failed(error: Exception) -> int:
    """Say it, and end here where standard output hangs: Python's own end would wait for it."""
    code = _say(error, FAILED)
    if not done_within(PRINT_SECONDS, sys.stdout.flush):
        sys.stderr.flush()
        os._exit(code)
    return code


def _say(error: Exception | str, code: int) -> int:
    for line in redact(str(error)).splitlines():
        print(f"run_stream: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    sys.exit(main())
