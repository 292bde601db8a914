"""Log lines for people: one format, and no password in any of them."""

from __future__ import annotations

import logging
import sys

from rich.console import Console
from rich.logging import RichHandler

from streamer.redact import redact


class _RedactingFormatter(logging.Formatter):
    """Redacts the finished text: arguments and exception texts are in it by then."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def set_up_logging(level: str, console: Console | None) -> None:
    """Send log lines above the live dashboard's console, or else to standard error.

    Args:
        level: debug, info, warning or error.
        console: the dashboard's; None where there is none.
    """
    handler: logging.Handler
    if console is not None:
        handler = RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S")
        handler.setFormatter(_RedactingFormatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(
            _RedactingFormatter("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
        )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # PyAV forwards FFmpeg's chatter here; what matters of it reaches us as exceptions.
    logging.getLogger("libav").setLevel(logging.CRITICAL)
