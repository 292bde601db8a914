"""Where a run's files go: always into a folder that holds nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from streamer.types import StreamError


def claim_folder(wanted: Path) -> Path:
    """Make the folder ``wanted``, or beside it ``wanted-2``, ``wanted-3``, ... if it was used.

    An empty folder is taken as it is. Two runs that start at once get different folders: whoever
    makes one has it.

    Raises:
        StreamError: no folder can be made there.
    """
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        if wanted.is_dir() and not any(wanted.iterdir()):
            return wanted
        for number in itertools.count(1):
            folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise _failed(wanted, error) from error
    raise AssertionError("itertools.count ended")


def source_folders(root: Path, names: Sequence[str]) -> dict[str, Path]:
    """The folder of each source: ``root`` itself for one, ``root/NAME`` for each of several.

    Raises:
        StreamError: a folder cannot be made.
    """
    if len(names) == 1:
        return {names[0]: root}
    folders = {name: root / name for name in names}
    for folder in folders.values():
        try:
            folder.mkdir()
        except OSError as error:
            raise _failed(folder, error) from error
    return folders


def _failed(folder: Path, error: OSError) -> StreamError:
    reason = error.strerror or str(error)
    if isinstance(error, FileExistsError):
        reason = f"{error.filename} is not a folder"
    return StreamError(
        f"cannot make the output folder {folder}: {reason}; choose another with --output"
    )
