import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sink_results import result_of, tracks_at

from configs.schema import EventSettings, OutputSettings, RecordSettings, StreamSettings
from streamer.output_folder import claim_folder, source_folders
from streamer.sinks.factory import build_sinks
from streamer.types import StreamError


def test_a_used_folder_is_left_alone(tmp_path: Path) -> None:
    wanted = tmp_path / "new" / "output"
    assert claim_folder(wanted) == wanted
    assert claim_folder(wanted) == wanted  # empty still
    (wanted / "tracks.txt").touch()
    second = claim_folder(wanted)
    assert second.name == "output-2"
    assert claim_folder(wanted).name == "output-3"
    assert second.is_dir()
    assert list(wanted.iterdir()) == [wanted / "tracks.txt"]


def test_runs_that_start_at_once_get_different_folders(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "old").touch()
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(claim_folder, [tmp_path / "output"] * 24))
    assert len(set(folders)) == 24


def test_one_source_gets_the_folder_and_several_get_one_each(tmp_path: Path) -> None:
    assert source_folders(tmp_path, ["gate"]) == {"gate": tmp_path}
    folders = source_folders(tmp_path, ["gate", "roof"])
    assert folders == {"gate": tmp_path / "gate", "roof": tmp_path / "roof"}
    assert all(folder.is_dir() for folder in folders.values())


def test_a_place_where_no_folder_can_be_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StreamError, match="--output") as caught:
        claim_folder(tmp_path / "file" / "output")
    assert "\n" not in str(caught.value)
    assert "File exists" not in str(caught.value)  # it is not why: the file is in the way
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        with pytest.raises(StreamError, match="--output"):
            claim_folder(tmp_path / "output")


def files_of(folder: Path, settings: StreamSettings) -> list[str]:
    sinks = build_sinks(folder, settings, source="gate")
    for sink in sinks:
        sink.write(result_of(tracks=tracks_at([(5, 5)])))
    for sink in sinks:
        sink.close()
        sink.close()
    return sorted(path.name for path in folder.iterdir())


def test_the_factory_gives_what_the_settings_ask_for(tmp_path: Path) -> None:
    everything, little = tmp_path / "a", tmp_path / "b"
    everything.mkdir()
    little.mkdir()
    assert files_of(everything, StreamSettings()) == [
        "annotated.mp4", "events.jsonl", "frames.jsonl", "tracks.txt",
    ]  # fmt: skip
    output = OutputSettings(record=RecordSettings(enabled=False), events=EventSettings(jsonl=False))
    assert files_of(little, StreamSettings(output=output)) == ["frames.jsonl", "tracks.txt"]


def test_a_factory_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "frames.jsonl").touch()
    before = set(Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").is_dir() else set()
    with pytest.raises(StreamError, match=r"frames\.jsonl"):
        build_sinks(tmp_path, StreamSettings(), source="gate")
    after = set(Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").is_dir() else set()
    assert len(after) == len(before)
