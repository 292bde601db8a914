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
    return OpenVinoEngine(network, precision="fp32", threads=2, window_sides=(64, 50))


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
    [
        (1, (64, 96), None),
        (2, (50, 70), None),
        (5, (64, 64), 8),
        (3, (50, 50), 6),
        (1, (64, 64), 6),
        (1, (33, 130), 8),
    ],
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


def test_windows_of_two_sides_run_beside_each_other(engine: OpenVinoEngine) -> None:
    large, small = batch(3, (64, 64), 8), batch(7, (50, 50), 6)
    alone = [engine.submit(each).result() for each in (large, small)]
    tickets = [engine.submit(each) for each in (large, small)]
    for ticket, want in zip(tickets, alone, strict=True):
        assert np.array_equal(ticket.result(), want)
        assert set(ticket.stage_seconds) == {"preprocess", "network"}


def test_a_window_shows_the_same_to_the_bit_whatever_is_beside_it(engine: OpenVinoEngine) -> None:
    many = batch(4, (64, 64), 8)
    together = engine.submit(many).result()
    one = np.ones(1, np.float32)
    for image, seen in zip(many.images, together, strict=True):
        assert np.array_equal(
            engine.submit(EngineBatch([image], one, 0 * one, 8)).result()[0], seen
        )


def test_bf16_is_chosen_only_where_it_is_faster(network: LoadedNetwork) -> None:
    chosen = OpenVinoEngine(network, precision="auto", threads=1).precision
    tiles = torch.cpu.get_capabilities().get("amx_bf16", False)
    assert chosen == ("bf16" if tiles else "fp32")


def test_the_same_batch_gives_the_same_bits(engine: OpenVinoEngine) -> None:
    given = batch(2, (64, 64), 8)
    assert np.array_equal(engine.submit(given).result(), engine.submit(given).result())


def test_a_damaged_cache_is_made_anew(
    network: LoadedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    arguments = {"precision": "fp32", "threads": 1, "window_sides": (64,)}
    want = OpenVinoEngine(network, **arguments).submit(batch(1, (64, 64), 8)).result()
    graphs = list(tmp_path.rglob("*.xml"))
    assert len(graphs) == 2  # of whole pictures and of windows
    for graph in graphs:
        graph.write_text("<net")
    got = OpenVinoEngine(network, **arguments).submit(batch(1, (64, 64), 8)).result()
    assert np.array_equal(got, want)
    assert all("<net " in graph.read_text() for graph in graphs)


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
