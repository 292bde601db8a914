"""The user's program for events, run in the background so that it never delays a frame."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from typing import Any

from streamer.redact import redact
from streamer.types import StreamError

_log = logging.getLogger(__name__)
_running: set[subprocess.Popen[bytes]] = set()

MAX_WAITING = 64
COMPLAIN_EVERY_SECONDS = 60.0
END_SECONDS = 4.0
"""At the end, events that wait and the program that runs get no longer than this."""
PLACEHOLDERS = ("event", "id", "x", "y", "score", "source")


class Hook:
    """Runs a program once an event, one after the other, in order.

    The event's line of JSON is the program's standard input, and ``{event} {id} {x} {y} {score}
    {source}`` in its arguments are filled in. No shell sees them. What the program prints is
    thrown away. While it works, events wait; more than 64 drop the newest, counted. It fails
    without consequence but a warning, once a minute at most.
    """

    def __init__(self, command: tuple[str, ...], timeout_seconds: float) -> None:
        """Start waiting for events.

        Args:
            command: program and arguments.
            timeout_seconds: a program that takes longer is killed, with its children.

        Raises:
            StreamError: there is no such program.
        """
        if shutil.which(command[0]) is None:
            raise StreamError(
                f"output.events.command: there is no program {redact(command[0])!r} that can be run"
            )
        self._command = command
        self._timeout = timeout_seconds
        self._queue: queue.Queue[tuple[list[str], bytes] | None] = queue.Queue(MAX_WAITING)
        self._stop = threading.Event()
        self._ran = self._failed = self._dropped = 0
        self._complained_at = -COMPLAIN_EVERY_SECONDS
        self._closed = False
        self._error: BaseException | None = None
        self._worker = threading.Thread(target=self._work, name="event-command", daemon=True)
        self._worker.start()

    def offer(self, record: dict[str, Any], line: str) -> None:
        """Run the program for this event soon; never waits.

        Raises:
            Exception: what ended the thread that runs it.
        """
        if self._error is not None:
            raise self._error
        try:
            self._queue.put_nowait((_filled_in(self._command, record), line.encode()))
        except queue.Full:
            self._dropped += 1
            self._complain(f"is too slow: {self._dropped} events dropped so far")

    def close(self) -> None:
        """Let the waiting events be run, within the time-out of one or 4 s, then stop. Idempotent.

        Raises:
            Exception: what ended the thread that runs the program.
        """
        if self._closed:
            return
        self._closed = True
        patience = min(self._timeout, END_SECONDS)
        deadline = time.monotonic() + patience
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=patience if self._worker.is_alive() else 0)
        self._worker.join(max(deadline - time.monotonic(), 0.0))
        self._stop.set()
        self._worker.join()
        left = sum(item is not None for item in self._queue.queue)
        log = _log.warning if self._failed or self._dropped or left else _log.info
        log(
            "event command: %d runs, %d of them failed; %d events dropped, %d left at the end",
            self._ran, self._failed, self._dropped, left,
        )  # fmt: skip
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                item = self._queue.get()  # woken by the None of close()
                if item is None:
                    return
                self._run(*item)
        except BaseException as error:
            self._error = error  # for the sink's thread, which takes it to the pipeline

    def _run(self, arguments: list[str], event: bytes) -> None:
        self._ran += 1
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self._failed += 1
            self._complain(f"cannot be run: {getattr(error, 'strerror', None) or error}")
            return
        _running.add(process)
        try:
            with process:
                outcome = self._wait(process, event)
        finally:
            _running.discard(process)
        if outcome:
            self._failed += 1
            self._complain(outcome)

    def _wait(self, process: subprocess.Popen[bytes], event: bytes) -> str | None:
        """Feed the program and wait for its end: None, or what went wrong."""
        deadline = time.monotonic() + self._timeout
        remaining: bytes | None = event
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or self._stop.is_set():
                _kill(process)
                return "was killed: " + (
                    "the stream ended" if left > 0 else f"not done after {self._timeout:g} s"
                )
            try:
                process.communicate(remaining, timeout=min(left, 0.1))
            except subprocess.TimeoutExpired:
                remaining = None  # communicate goes on with what it was given first
                continue
            return f"ended with {process.returncode}" if process.returncode else None

    def _complain(self, what: str) -> None:
        now = time.monotonic()
        if now - self._complained_at >= COMPLAIN_EVERY_SECONDS:
            self._complained_at = now
            _log.warning("event command %r %s", redact(self._command[0]), what)


def kill_programs() -> None:
    """Kill every program that still runs: this process is about to end without waiting for it."""
    for process in tuple(_running):
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the program and whatever it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _filled_in(command: tuple[str, ...], record: dict[str, Any]) -> list[str]:
    """The arguments with their placeholders filled in; any other brace stays as it is."""
    filled = [command[0]]
    for argument in command[1:]:
        for name in PLACEHOLDERS:
            argument = argument.replace("{" + name + "}", str(record[name]))
        filled.append(argument)
    return filled
