"""The command from outside: its help, its exit codes, and one clear line for a mistake."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from configs.load import preset_names

ROOT = Path(__file__).resolve().parents[1]


def command(
    *arguments: str, folder: Path, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run it as a user would, from a folder that is not the checkout."""
    return subprocess.run(
        [sys.executable, str(ROOT / "run_stream.py"), *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "100", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def assert_refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for word in words:
        assert word in done.stderr


def test_help_tells_uses_presets_and_exit_codes(tmp_path: Path) -> None:
    done = command("--help", folder=tmp_path)
    assert done.returncode == 0
    for word in ("SOURCE", "--config", "--set", "--weights", "--device", "--output", "--display",
                 "--record", "--max-frames", "--max-seconds", "rtsp://", "examples"):  # fmt: skip
        assert word in done.stdout
    assert all(name in done.stdout for name in preset_names())
    assert not list(tmp_path.iterdir())


def test_help_and_wrong_usage_do_not_load_torch(tmp_path: Path) -> None:
    script = (
        "import sys, runpy\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import run_stream\n"
        "assert run_stream.main(['--set', 'nothing.such=1']) == 2\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "False", done.stderr


def test_an_unknown_argument_is_wrong_usage(tmp_path: Path) -> None:
    assert_refused(command("--recrod", folder=tmp_path), 2, "--recrod")


def test_an_unknown_setting_names_the_nearest(tmp_path: Path) -> None:
    done = command("--set", "detector.treshold=0.6", folder=tmp_path)
    assert_refused(done, 2, "detector.treshold", "did you mean detector.threshold")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "detector.threshold=3"), ("detector.threshold=3", "less than 1")),
        (("--max-frames", "0"), ("run.max_frames", "1")),
        (("--device", "tpu"), ("detector.device", "cuda")),
        (("--config", "nowhere.yaml"), ("nowhere.yaml",)),
        (("--config", "rstp"), ("did you mean rtsp",)),
    ],
)
def test_bad_settings_are_wrong_usage(
    tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_refused(command(*arguments, folder=tmp_path), 2, *words)


def test_advice_on_set_is_not_taken_for_a_secret(tmp_path: Path) -> None:
    done = command("--set", "detector.threshold", folder=tmp_path)
    assert_refused(done, 2, "such as --set detector.threshold=0.6")
    assert "***" not in done.stderr


def test_a_password_in_a_refused_address_is_not_shown(tmp_path: Path) -> None:
    done = command("nosuch://user:s3cr3t@camera/live", folder=tmp_path)
    assert_refused(done, 2, "nosuch://")
    assert "s3cr3t" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--confg=rtsp://user:s3cr3t@camera/live",),
        ("--max-frames", "rtsp://user:s3cr3t@camera/live"),
    ],
)
def test_a_password_in_wrong_usage_is_not_shown(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = command(*arguments, folder=tmp_path)
    assert_refused(done, 2, "camera/live")
    assert "s3cr3t" not in done.stdout + done.stderr


def test_sources_may_stand_on_both_sides_of_an_option(tmp_path: Path) -> None:
    done = command("a.mp4", "--no-record", "nosuch://b", folder=tmp_path)
    assert_refused(done, 2, "nosuch://b")
    assert "unrecognized" not in done.stderr


def test_the_version_and_the_reference_of_settings(tmp_path: Path) -> None:
    assert command("--version", folder=tmp_path).stdout.startswith("irtrack")
    assert "source.rtsp.transport" in command("--help-settings", folder=tmp_path).stdout


def test_a_password_in_a_bad_setting_is_not_shown(tmp_path: Path) -> None:
    done = command("--set", "source.fps=rtsp://user:s3cr3t@camera/live", folder=tmp_path)
    assert_refused(done, 2, "source.fps")
    assert "s3cr3t" not in done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "no pictures"])
def test_nothing_to_read_is_said_once_and_leaves_no_folder(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "in.mp4"
    if kind == "no pictures":
        path.mkdir()
    elif kind != "missing":
        path.write_text("" if kind == "empty" else "this is a letter and no video\n" * 50)
    done = command(str(path), "--output", "out", folder=tmp_path)
    assert_refused(done, 1, f"run_stream: the folder {path}" if path.is_dir() else str(path))
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["nosuch.pth.tar", 'nüt 🚁 "no such".pth.tar'])
def test_weights_that_are_not_there_fail_in_one_line(tmp_path: Path, name: str) -> None:
    done = command("synthetic:", "--weights", name, folder=tmp_path)
    assert_refused(done, 1, name)
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_ctrl_c_while_it_still_loads_is_silent(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(ROOT / "run_stream.py"), "--help-settings"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        while process.poll() is None and "pydantic" not in maps.read_text():
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT  # a shell makes 130 of it
    assert stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_or_two_leave_everything_that_was_processed(
    tmp_path: Path, number: signal.Signals, times: int
) -> None:
    folder = tmp_path / "out"
    frames = folder / "frames.jsonl"
    scene = "synthetic:?width=64&height=64&seconds=3600"
    with subprocess.Popen(
        [sys.executable, str(ROOT / "run_stream.py"), scene, "--output", str(folder)],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            deadline = time.monotonic() + 240
            while not (frames.exists() and frames.read_text().count("\n") >= 5):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            for _ in range(times):
                process.send_signal(number)
                time.sleep(0.05)
            _, stderr = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 128 + number
    assert "Traceback" not in stderr
    counts = json.loads((folder / "summary.json").read_text())
    assert counts["exit_reason"] == number.name
    counts = counts["frames"]
    assert counts["captured"] == counts["processed"] + counts["dropped"] + counts["corrupt"]
    lines = [json.loads(line) for line in frames.read_text().splitlines()]
    assert len(lines) == counts["processed"]
    with av.open(str(folder / "annotated.mp4")) as recording:
        assert sum(1 for _ in recording.decode(video=0)) == len(lines)
