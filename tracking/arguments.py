"""Checks of command-line arguments that the package's commands share."""

from __future__ import annotations

import argparse
import math


def positive_number(text: str) -> float:
    """``text`` as a finite number above 0.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def positive_count(text: str) -> int:
    """``text`` as a whole number above 0.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def positive_share(text: str) -> float:
    """``text`` as a number above 0, and 1 at most.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    value = positive_number(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is above 1")
    return value
