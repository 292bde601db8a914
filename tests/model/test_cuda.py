"""The engine for NVIDIA GPUs against the one for CPUs."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from model.checkpoint import LoadedNetwork, NetworkInfo
from model.engines.base import EngineBatch
from model.engines.torch_cpu import TorchCpuEngine
from model.engines.torch_cuda import TorchCudaEngine

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

# On GPUs with tensor cores the convolutions of fp32 round to TF32.
TOLERANCE = {"fp32": 5e-3, "fp16": 1e-2, "bf16": 6e-2}


@pytest.fixture(scope="module")
def network() -> LoadedNetwork:
    torch.manual_seed(3)
    info = NetworkInfo(
        name="random", width=16, mean=100.0, std=40.0, picture_size=128, threshold=0.5
    )
    made = LoadedNetwork(info).eval()
    # As drawn nearly all is background, whatever the picture.
    torch.nn.init.zeros_(made.head1.activation.bn.bias)
    return made


def batch_of(count: int, height: int, width: int, seed: int, dtype: str = "uint8") -> EngineBatch:
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (height, width)).astype(dtype) for _ in range(count)]
    gain = rng.uniform(0.5, 1.5, count).astype(np.float32)
    return EngineBatch(images, gain, np.full(count, 3, np.float32))


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("graphs", [True, False])
def test_every_batch_gets_its_own_result_before_and_after_recording(
    network: LoadedNetwork, precision: str, graphs: bool
) -> None:
    cuda = TorchCudaEngine(
        network, torch.device("cuda"), precision=precision, in_flight=2, graphs=graphs
    )
    cpu = TorchCpuEngine(network, precision="fp32", threads=None)
    batches = [batch_of(2, 72, 100, seed) for seed in range(12)]
    tickets = [cuda.submit(batches[0])]
    for before, batch in itertools.pairwise(batches):
        tickets.append(cuda.submit(batch))  # while the one before is on its way
        got, want = tickets[-2].result(), cpu.submit(before).result()
        assert got == pytest.approx(want, abs=TOLERANCE[precision])
        assert tickets[-2].stage_seconds["network"] > 0
    tickets[-1].result()
    assert (cuda.recorded > 0) == graphs
    cuda.close()
    cuda.close()


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_kernel_of_ours_changes_results_by_rounding_only(
    network: LoadedNetwork, precision: str
) -> None:
    device, batch = torch.device("cuda"), batch_of(2, 72, 100, 1)
    seen = []
    for kernels in (True, False):
        engine = TorchCudaEngine(network, device, precision=precision, in_flight=1, kernels=kernels)
        seen.append(engine.submit(batch).result())
        engine.close()
    assert seen[0] == pytest.approx(seen[1], abs=TOLERANCE[precision])


def test_sizes_depths_and_grids_in_turn_are_not_mixed_up(network: LoadedNetwork) -> None:
    cuda = TorchCudaEngine(network, torch.device("cuda"), precision="fp32", in_flight=1)
    cpu = TorchCpuEngine(network, precision="fp32", threads=None)
    kinds = [
        (1, 64, 64, "uint8"),
        (3, 64, 64, "uint8"),
        (1, 90, 65, "uint8"),
        (1, 64, 64, "uint16"),
    ]
    for seed, kind in enumerate(kinds * 6):
        plain = batch_of(*kind[:3], seed, kind[3])
        for grid in (8, 16):
            batch = EngineBatch(plain.images, plain.gain, plain.offset, attention_grid=grid)
            got, want = cuda.submit(batch).result(), cpu.submit(batch).result()
            assert got == pytest.approx(want, abs=TOLERANCE["fp32"])


def test_repeated_batches_are_recorded_and_memory_stays_flat(
    network: LoadedNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    cuda = TorchCudaEngine(network, torch.device("cuda"), precision="fp16", in_flight=1)
    for seed in range(8):
        cuda.submit(batch_of(1, 128, 128, seed)).result()
    before = torch.cuda.memory_reserved()
    for seed in range(200):
        cuda.submit(batch_of(1, 128, 128, seed)).result()
    assert torch.cuda.memory_reserved() == before
    assert "without CUDA graphs" not in caplog.text
    assert cuda.recorded == 1


def test_recording_gives_no_memory_back(network: LoadedNetwork) -> None:
    """Who has to fetch it anew loses frames in mid-stream."""
    cuda = TorchCudaEngine(network, torch.device("cuda"), precision="fp16", in_flight=1)
    cuda.submit(batch_of(1, 128, 128, 0)).result()
    spare = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
    del spare
    before = torch.cuda.memory_reserved()
    for seed in range(8):
        cuda.submit(batch_of(1, 128, 128, seed)).result()
    assert cuda.recorded == 1
    assert torch.cuda.memory_reserved() >= before


def test_an_engine_may_be_used_from_one_thread_after_another(network: LoadedNetwork) -> None:
    """Libraries have handles and workspaces of their own for each thread."""
    cuda = TorchCudaEngine(network, torch.device("cuda"), precision="fp16", in_flight=2)
    cpu = TorchCpuEngine(network, precision="fp32", threads=None)
    batches = [batch_of(2, 96, 96, seed) for seed in range(5)]
    for _ in range(3):
        with ThreadPoolExecutor(1) as thread:
            results = [thread.submit(lambda b=b: cuda.submit(b).result()) for b in batches]
        for batch, got in zip(batches, results, strict=True):
            want = cpu.submit(batch).result()
            assert got.result() == pytest.approx(want, abs=TOLERANCE["fp16"])
    assert cuda.recorded == 1
