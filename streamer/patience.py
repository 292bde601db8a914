"""Work that may hang for ever, on a disk that does not answer, say."""

from __future__ import annotations

import threading
from collections.abc import Callable


def done_within(seconds: float, work: Callable[[], None]) -> bool:
    """Do the work in a thread of its own; False where it is not done in time: it is left behind.

    Raises:
        BaseException: what the work raised in time.
    """
    errors: list[BaseException] = []

    def body() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    # A daemon: one that hangs cannot keep the process alive.
    thread = threading.Thread(target=body, name="last work", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return False
    if errors:
        raise errors[0]
    return True
