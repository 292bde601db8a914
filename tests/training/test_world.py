"""Several processes train one network, as `torchrun` starts them; signals stop a training whole."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing

from model.training.data.packs import TARGET, Pack, save_pack
from model.training.world import joined

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    images = [rng.integers(60, 90, (48, 64)).astype(np.uint8) for _ in range(3)]
    labels = [np.zeros((48, 64), np.uint8) for _ in images]
    for image, label in zip(images, labels, strict=True):
        image[20:23, 30:33], label[20:23, 30:33] = 200, TARGET
    path = tmp_path_factory.mktemp("pack") / "pack.npz"
    save_pack(path, Pack(images, labels, ["clip"] * 3, mean=75.0, std=12.0))
    return path


@pytest.fixture(scope="module")
def whole(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a training of 25 steps that nothing stopped."""
    output = tmp_path_factory.mktemp("whole") / "out"
    trained(["model.train", *arguments(pack, output, 25)])
    return output


def arguments(pack: Path, output: Path, steps: int) -> list[str]:
    paths = ["--pack", str(pack), "--output", str(output), "--name", "tiny"]
    values = f"--width 4 --batch 2 --crop 32 --steps {steps} --device cpu --threads 1"
    return [*paths, *values.split()]


def started(command: list[str]) -> "subprocess.Popen[str]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def trained(command: list[str]) -> str:
    process = started(command)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    return told


def state_of(output: Path) -> dict[str, torch.Tensor]:
    state = torch.load(output / "checkpoint.pt", weights_only=True)
    return {**state["network"], **{f"average {k}": v for k, v in state["average"].items()}}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a | b)


def test_two_processes_train_one_network_and_resume(pack: Path, tmp_path: Path) -> None:
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "model.train"]
    trained([*torchrun, *arguments(pack, tmp_path / "two", 4)])
    assert state_of(tmp_path / "two")["encoder1.bn.num_batches_tracked"] == 4
    assert sorted(path.name for path in (tmp_path / "two").glob("*.*")) == [
        "checkpoint.pt", "tiny.safetensors",
    ]  # fmt: skip
    # It may not be resumed as if it were another training.
    alone = started(["model.train", *arguments(pack, tmp_path / "two", 4), "--resume"])
    _, told = alone.communicate(timeout=60)
    assert alone.returncode == 1
    assert "another recipe: processes" in told


def _average(rank: int, folder: str) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1",
        MASTER_PORT=(Path(folder) / "port").read_text(),
    )  # fmt: skip
    with joined("cpu") as (world, device):
        assert (world.rank, world.size, device) == (rank, 2, "cpu")
        assert world.leads == (rank == 0)
        tensors = [torch.full((2, 3), float(rank)), torch.tensor(4.0 * rank)]
        world.average(tensors)
        assert torch.equal(tensors[0], torch.full((2, 3), 0.5))
        assert float(tensors[1]) == 2
        assert world.any(rank == 1, torch.device(device))
        assert not world.any(False, torch.device(device))


def test_processes_agree_on_means_and_flags(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (tmp_path / "port").write_text(str(free.getsockname()[1]))
    torch.multiprocessing.spawn(_average, (str(tmp_path),), nprocs=2)


def test_alone_nothing_is_asked_of_others() -> None:
    with joined("cpu") as (world, device):
        assert (world.rank, world.size, device) == (0, 1, "cpu")
        mean = torch.tensor([3.0])
        world.average([mean])
        assert (float(mean), world.any(True, mean.device)) == (3, True)


def test_a_batch_that_cannot_be_shared_out_is_refused(pack: Path, tmp_path: Path) -> None:
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "model.train"]
    process = started([*torchrun, *arguments(pack, tmp_path / "two", 4), "--batch", "3"])
    _, told = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "a batch of 3 cannot be shared out among 2 processes" in told
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_stopped_by_a_signal_and_resumed_gives_the_same_to_the_bit(
    pack: Path, whole: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = started(["model.train", *arguments(pack, tmp_path / "cut", 25)])
    while not (tmp_path / "cut" / "curves").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "go on with --resume" in told
    assert 0 < torch.load(tmp_path / "cut" / "checkpoint.pt", weights_only=True)["step"] < 25
    trained(["model.train", *arguments(pack, tmp_path / "cut", 25), "--resume"])
    assert same(state_of(whole), state_of(tmp_path / "cut"))
