"""The OpenVINO engine gives what the network gives, and keeps to itself."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model import engines
from model.checkpoint import LoadedNetwork, NetworkInfo
from model.engines import build_engine
from model.engines.base import EngineBatch
from model.engines.openvino_cpu import OpenVinoEngine

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> LoadedNetwork:
    torch.manual_seed(0)
    info = NetworkInfo("tiny", width=8, mean=100.0, std=40.0, picture_size=256, threshold=0.3)
    return LoadedNetwork(info).eval()


@pytest.fixture(scope="module")
def engine(network: LoadedNetwork) -> OpenVinoEngine:
    return OpenVinoEngine(network, precision="fp32", threads=1, attention_grids=(32, 8))


def batch(
    count: int, shape: tuple[int, int], grid: int | None = None, dtype: type = np.uint8
) -> EngineBatch:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, shape).astype(dtype) for _ in range(count)]
    ones = np.ones(count, np.float32)
    return EngineBatch(images, ones, 0 * ones, grid)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("count", "shape", "grid"),
    [(1, (64, 96), None), (2, (50, 70), None), (3, (64, 64), 8), (1, (33, 130), 8)],
)
def test_it_agrees_with_torch_at_every_size_and_grid(
    network: LoadedNetwork,
    engine: OpenVinoEngine,
    count: int,
    shape: tuple[int, int],
    grid: int | None,
    dtype: type,
) -> None:
    torch_engine = build_engine(
        network, CPU, kind="torch", precision="fp32", threads=None, in_flight=1
    )
    given = batch(count, shape, grid, dtype)
    got, want = engine.submit(given).result(), torch_engine.submit(given).result()
    assert got.shape == want.shape == (count, *shape)
    assert np.abs(got - want).max() < 1e-4


def test_results_outlive_the_next_batch(engine: OpenVinoEngine) -> None:
    first = engine.submit(batch(1, (64, 64))).result()
    kept = first.copy()
    other = EngineBatch(
        [np.full((64, 64), 7, np.uint8)], np.ones(1, np.float32), np.zeros(1, np.float32)
    )
    assert not np.array_equal(engine.submit(other).result(), kept)
    assert np.array_equal(first, kept)


def test_the_same_batch_gives_the_same_bits(engine: OpenVinoEngine) -> None:
    given = batch(2, (64, 64), 8)
    assert np.array_equal(engine.submit(given).result(), engine.submit(given).result())


def test_a_damaged_cache_is_made_anew(
    network: LoadedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    arguments = {"precision": "fp32", "threads": 1, "attention_grids": (8,)}
    want = OpenVinoEngine(network, **arguments).submit(batch(1, (64, 64), 8)).result()
    graphs = list(tmp_path.rglob("*.xml"))
    assert len(graphs) == 1
    graphs[0].write_text("<net")
    got = OpenVinoEngine(network, **arguments).submit(batch(1, (64, 64), 8)).result()
    assert np.array_equal(got, want)
    assert "<net " in graphs[0].read_text()


def test_without_openvino_torch_takes_over_and_says_so(
    network: LoadedNetwork, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    made = build_engine(network, CPU, precision="auto", threads=None, in_flight=1)
    assert made.name == "torch-cpu"
    assert "OpenVINO is not installed" in caplog.text
    with pytest.raises(ValueError, match="not installed"):
        build_engine(network, CPU, kind="openvino", precision="auto", threads=None, in_flight=1)


def test_nothing_is_reported_over_the_network() -> None:
    script = (
        "import socket, sys\n"
        "def refuse(*_): raise SystemExit('a connection was tried')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import model.engines.openvino_cpu, openvino\n"
        "assert sys.modules.get('openvino_telemetry') is None\n"
        "assert openvino.tools.ovc.telemetry_utils.tm.__name__.endswith('telemetry_stub')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
