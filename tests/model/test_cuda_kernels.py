"""The CUDA kernel of a series activation against PyTorch's own steps."""

import sys
from pathlib import Path

import pytest
import torch

from model.checkpoint import LoadedNetwork, NetworkInfo
from model.deploy import fold
from model.engines.cuda_kernels import (
    KernelError,
    compiled,
    series_activation,
    with_kernels,
)
from model.mpcnet import ConvBlock

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

TOLERANCE = {torch.float16: 1e-2, torch.bfloat16: 8e-2}


def reference(
    x: torch.Tensor, taps: torch.Tensor, before: torch.Tensor, after: torch.Tensor
) -> torch.Tensor:
    channels = x.shape[1]
    activated = torch.relu(x.double() + before.double().view(1, -1, 1, 1))
    kernels = taps.double().t().reshape(channels, 1, 7, 7)
    return torch.conv2d(activated, kernels, after.double(), padding=3, groups=channels)


@needs_cuda
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "shape",
    [
        (1, 2, 1, 1),
        (2, 2, 9, 130),
        (3, 4, 7, 5),
        (1, 34, 5, 9),
        (2, 32, 40, 61),
        (1, 96, 12, 12),
        (5, 8, 33, 64),
        (1, 384, 32, 32),
    ],
)
def test_it_gives_what_a_convolution_of_the_clamped_map_gives(
    shape: tuple[int, int, int, int], dtype: torch.dtype
) -> None:
    torch.manual_seed(sum(shape))
    x = torch.randn(shape, device="cuda").to(dtype)
    taps = torch.randn((49, shape[1]), device="cuda") / 7
    before, after = torch.randn((2, shape[1]), device="cuda")
    want = reference(x, taps, before, after).cpu()
    for layout in (torch.contiguous_format, torch.channels_last):
        got = series_activation(x.contiguous(memory_format=layout), taps, before, after)
        assert got.is_contiguous(memory_format=torch.channels_last)
        assert got.dtype == dtype
        assert got.double().cpu().numpy() == pytest.approx(want.numpy(), abs=TOLERANCE[dtype])


@needs_cuda
def test_what_is_no_number_stays_none() -> None:
    x = torch.zeros((1, 2, 16, 16), device="cuda", dtype=torch.float16)
    x[0, 0, 8, 8] = torch.nan
    taps, bias = torch.ones((49, 2), device="cuda"), torch.zeros(2, device="cuda")
    got = series_activation(x, taps, bias, bias)
    assert got[0, 0, 5:12, 5:12].isnan().all()
    assert got.isnan().sum() == 49


@needs_cuda
def test_what_it_cannot_take_is_refused() -> None:
    x = torch.zeros((1, 3, 8, 8), device="cuda", dtype=torch.float16)
    taps, bias = torch.ones((49, 3), device="cuda"), torch.zeros(3, device="cuda")
    with pytest.raises(ValueError, match="even channels"):
        series_activation(x, taps, bias, bias)
    with pytest.raises(ValueError, match="half precision"):
        series_activation(x.float(), taps, bias, bias)
    even, taps, bias = x[:, :2], taps[:, :2], bias[:2]
    for wrong in (taps, taps.contiguous().half(), taps.t().contiguous().t()):
        with pytest.raises(ValueError, match="contiguous float32"):
            series_activation(even, wrong, bias, bias)


def test_on_a_cpu_it_is_refused() -> None:
    x = torch.zeros((1, 2, 8, 8), dtype=torch.float16)
    with pytest.raises(ValueError, match="on a GPU"):
        series_activation(x, torch.ones((49, 2)), torch.zeros(2), torch.zeros(2))


@pytest.mark.parametrize("there", ["nothing", "an empty package", "bindings of nothing"])
def test_without_the_compiler_an_error_says_what_to_do(
    there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "cuda"]:
        monkeypatch.delitem(sys.modules, name)
    if there == "nothing":
        monkeypatch.setitem(sys.modules, "cuda", None)
    else:
        (tmp_path / "cuda").mkdir()
        (tmp_path / "cuda" / "__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
    if there == "bindings of nothing":
        (tmp_path / "cuda" / "bindings").mkdir()
        nvrtc = tmp_path / "cuda" / "bindings" / "nvrtc.py"
        nvrtc.write_text("raise RuntimeError('libnvrtc.so is\\nnot there')\n")
        (tmp_path / "cuda" / "bindings" / "__init__.py").touch()
    with pytest.raises(KernelError, match=r"pip install cuda-bindings") as caught:
        compiled(torch.float16, "sm_90")
    assert "\n" not in str(caught.value)


@needs_cuda
def test_a_folded_network_uses_it_and_one_in_single_precision_stays_as_it_is() -> None:
    info = NetworkInfo(name="random", width=32, mean=100, std=40, picture_size=64, threshold=0.5)
    torch.manual_seed(1)
    folded = fold(LoadedNetwork(info)).cuda()
    single = fold(LoadedNetwork(info)).cuda()
    with_kernels(single)
    assert any(isinstance(module, ConvBlock) for module in single.modules())
    half = folded.half().to(memory_format=torch.channels_last)
    with_kernels(half)
    left = [m.conv.out_channels for m in half.modules() if isinstance(m, ConvBlock)]
    assert left
    assert all(channels % 2 for channels in left)
