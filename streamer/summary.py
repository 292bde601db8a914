"""``summary.json``: one source's run in numbers, written once, at the end of whatever kind."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from configs.schema import StreamSettings
from streamer.patience import done_within
from streamer.pipeline import RunReport
from streamer.redact import HIDDEN, redact
from streamer.sinks.outages import OutputReport
from streamer.stats import LatencySummary, SourceSnapshot
from streamer.types import StreamError

PATIENCE_SECONDS = 5.0

_PACKAGES = (
    "torch", "openvino", "av", "opencv-python", "opencv-python-headless", "numpy", "scipy",
    "filterpy",
)  # fmt: skip


def write_summary(
    path: Path,
    report: RunReport,
    source: str,
    settings: StreamSettings,
    outputs: Sequence[OutputReport] = (),
) -> None:
    """Write one source's summary. The file is whole or not there, whenever the power goes.

    Args:
        path: where; an old file is replaced.
        report: of the run, also of one that failed or was interrupted.
        source: which of the report's sources, by name.
        settings: the run's.
        outputs: what became of its files.

    Raises:
        KeyError: the report has no such source.
        StreamError: it cannot be written, or not within 5 s.
    """
    text = json.dumps(summarise(report, source, settings, outputs), indent=2, allow_nan=False)
    try:
        done = done_within(PATIENCE_SECONDS, lambda: _replace(path, text + "\n"))
    except OSError as error:
        raise StreamError(f"cannot write {path}: {error.strerror or error}") from error
    if not done:
        raise StreamError(f"cannot write {path}: the disk does not answer")


def summarise(
    report: RunReport,
    source: str,
    settings: StreamSettings,
    outputs: Sequence[OutputReport] = (),
) -> dict[str, Any]:
    """The summary as plain values that JSON knows; see :func:`write_summary`."""
    snapshot = {each.name: each for each in report.snapshot.sources}[source]
    error = snapshot.error or report.error or trouble(outputs)
    return {
        "source": source,
        "address": redact(snapshot.address),
        "picture": _picture(snapshot),
        "exit_reason": "failed" if snapshot.error else report.reason,
        "error": None if error is None else redact(error),
        "started_utc": _iso(report.started_utc),
        "ended_utc": _iso(report.ended_utc),
        "elapsed_seconds": round(report.snapshot.elapsed_seconds, 3),
        "frames": {
            "captured": snapshot.captured,
            "processed": snapshot.processed,
            "dropped": snapshot.dropped,
            "corrupt": snapshot.corrupt,
        },
        "reconnects": snapshot.reconnects,
        "stalls": snapshot.stalls,
        "frozen": snapshot.frozen,
        "damaged": snapshot.damaged,
        "state_seconds": {
            state.value: round(seconds, 3) for state, seconds in snapshot.state_seconds.items()
        },
        "fps": round(snapshot.fps_mean, 3),
        "latency_ms": _percentiles(snapshot.latency_ms),
        "stage_ms": {name: _percentiles(each) for name, each in snapshot.stage_ms.items()},
        "detections": snapshot.detections,
        "tracks": snapshot.tracks_total,
        **report.detector,
        "outputs": {
            each.what: {
                "lost": each.lost,
                "outages": each.outages,
                "reason": each.reason,
                "broken": each.broken,
            }
            for each in outputs
        },
        "versions": _versions(),
        "settings": _settings(settings),
    }


def trouble(outputs: Sequence[OutputReport]) -> str | None:
    """What could not be written, one line; None where everything was."""
    failed = [each for each in outputs if each.lost or each.broken]
    if not failed:
        return None
    told = (f"{each.what} ({each.reason}; {each.lost} {each.unit} lost)" for each in failed)
    return f"not everything could be written: {', '.join(told)}"


def _percentiles(summary: LatencySummary) -> dict[str, float]:
    return {name: round(value, 3) for name, value in asdict(summary).items() if name != "count"}


def _picture(snapshot: SourceSnapshot) -> dict[str, int] | None:
    if snapshot.picture_size is None:
        return None
    width, height = snapshot.picture_size
    return {"width": width, "height": height}


def _iso(utc: float) -> str:
    return datetime.fromtimestamp(utc, UTC).isoformat(timespec="milliseconds")


def _versions() -> dict[str, str]:
    """Of the interpreter, the system, and those of our packages that are installed."""
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def _settings(settings: StreamSettings) -> dict[str, Any]:
    """The settings without secrets."""
    values: dict[str, Any] = _redacted(settings.model_dump(mode="json"))
    if command := values["output"]["events"]["command"]:
        # What a program is given may be a key or a password in any form.
        hidden = [HIDDEN] * len(command[1:])
        values["output"]["events"]["command"] = [command[0], *hidden]
    return values


def _redacted(value: Any) -> Any:
    """``value`` with :func:`redact` applied to every string in it."""
    if isinstance(value, dict):
        return {key: _redacted(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_redacted(each) for each in value]
    return redact(value) if isinstance(value, str) else value


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp's files are their owner's only
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
