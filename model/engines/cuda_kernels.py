"""The network's series activation as one CUDA kernel of ours, compiled when an engine starts.

A third of what a GPU spends on the folded network in half precision are its 7x7 depthwise
convolutions, and another eighth adding biases before them (`docs/performance.md`). The kernel does
both, and the ReLU, in one pass: it reads a map once and writes it once.

NVIDIA's run-time compiler does the compiling, which comes with PyTorch's builds for CUDA, as do, of
newer ones, the bindings to it: no compiler need be installed.
"""

from __future__ import annotations

import ctypes
import functools
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor, nn

from model.mpcnet import ConvBlock

_THREADS = 256
"""Of a block, at most."""
_RUN = 8
"""Neighbouring pixels of a row that a thread makes."""
_ROWS = 4
"""Rows of those that it makes."""
_LANES = 16
"""Pairs of channels that a block of threads makes, where there are as many."""
_DOWN = 8
"""Threads of a block one below the other."""
_FORMATS = {torch.float16: "HALF", torch.bfloat16: "BFLOAT"}
_TOLERANCE = {torch.float16: 1e-2, torch.bfloat16: 6e-2}
"""By how much the kernel's results may differ from PyTorch's in the trial at the start."""


class KernelError(RuntimeError):
    """The kernel cannot be compiled or started here, or gives something else; one line."""


def with_kernels(network: nn.Module) -> None:
    """Let a folded network in half precision use the kernel wherever it can.

    Blocks of an odd number of channels stay as they are: the heads, and saliency maps of one
    channel. So does a network in single precision, which others are held against.

    Args:
        network: folded, on its GPU, channels last. Changed in place.

    Raises:
        KernelError: the kernel cannot be had here; nothing is changed.
    """
    weights = next(network.parameters())
    if weights.dtype not in _FORMATS:
        return
    _try_out(weights.device, weights.dtype)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, ConvBlock) and child.conv.out_channels % 2 == 0:
                setattr(parent, name, _FusedConvBlock(child))


class _FusedConvBlock(nn.Module):
    """A folded `ConvBlock`: the convolution without its bias, then the kernel, which adds it."""

    def __init__(self, block: ConvBlock) -> None:
        super().__init__()
        conv, activation = block.conv, block.activation.conv
        if conv.bias is None or activation.bias is None:
            raise ValueError("only a folded network's blocks can use the kernel")
        self.weight = conv.weight
        self.padding = conv.padding
        # No buffers: they stay in single precision whatever becomes of the network.
        self._taps = activation.weight.reshape(-1, 49).t().float().contiguous()  # (49, C)
        self._before = conv.bias.float()
        self._after = activation.bias.float()

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, Cout, H, W) of (B, Cin, H, W)."""
        x = torch.conv2d(x, self.weight, padding=self.padding)
        return series_activation(x, self._taps, self._before, self._after)


def series_activation(x: Tensor, taps: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Queue the kernel on the current stream: ReLU(x + before), convolved by taps, plus after.

    Args:
        x: (B, C, H, W) half precision or brain floats on a GPU, C even; any layout, but what has
            not the channels last is copied first.
        taps: (49, C) float32, contiguous, a column a channel's 7x7 kernel, row by row.
        before: (C,) float32, contiguous.
        after: (C,) float32, contiguous.

    Returns:
        (B, C, H, W) channels last, of x's type; sums are of single precision.

    Raises:
        KernelError: it could not be compiled or started.
        ValueError: one is of another type, shape or layout, or on another device.
    """
    batch, channels, height, width = x.shape
    if x.dtype not in _FORMATS or channels % 2 or x.device.type != "cuda":
        raise ValueError(
            "the kernel takes half precision and even channels on a GPU, "
            f"not {x.dtype} and {channels} on {x.device}"
        )
    for side, shape in ((taps, (49, channels)), (before, (channels,)), (after, (channels,))):
        same = side.dtype == torch.float32 and side.device == x.device and side.is_contiguous()
        if not same or side.shape != shape:
            raise ValueError(f"taps and biases must be contiguous float32 on {x.device}, {shape}")
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.empty_like(x)
    lanes = min(_LANES, channels // 2)
    across = _THREADS // (lanes * _DOWN)
    with torch.cuda.device(x.device):
        _launch(
            _function(x.device, x.dtype),
            (
                -(-width // (across * _RUN)),
                -(-height // (_DOWN * _ROWS)),
                batch * -(-channels // (2 * lanes)),
            ),
            (lanes, across, _DOWN),
            tuple(t.data_ptr() for t in (x, taps, before, after, y)),
            (height, width, channels),
            torch.cuda.current_stream(x.device).cuda_stream,
        )
    return y


def _try_out(device: torch.device, dtype: torch.dtype) -> None:
    """Hold the kernel against PyTorch on a small map with edges in every block."""
    made = torch.Generator().manual_seed(1)
    x = torch.randn((2, 34, 19, 37), generator=made).to(device, dtype)
    taps = torch.randn((49, 34), generator=made).to(device) / 7
    before, after = torch.randn((2, 34), generator=made).to(device)
    got = series_activation(x, taps, before, after).float()
    want = torch.conv2d(
        torch.relu(x.double() + before.view(1, -1, 1, 1)),
        taps.double().t().reshape(-1, 1, 7, 7),
        after.double(),
        padding=3,
        groups=34,
    )
    off = float((got - want).abs().max())
    if not off <= _TOLERANCE[dtype]:
        raise KernelError(f"its results differ by {off:.3g}")


@functools.cache
def _function(device: torch.device, dtype: torch.dtype) -> Any:
    """The kernel, compiled and loaded for a device."""
    with torch.cuda.device(device):
        major, minor = torch.cuda.get_device_capability()
        code = compiled(dtype, f"sm_{major}{minor}")
        from cuda.bindings import driver

        module = _checked(driver.cuModuleLoadData(code))
        return _checked(driver.cuModuleGetFunction(module, b"series_activation"))


def compiled(dtype: torch.dtype, architecture: str) -> bytes:
    """The kernel's code for an architecture, such as sm_90; needs no GPU.

    Raises:
        KernelError: the compiler, or what binds it, is not there, or it refuses.
    """
    try:
        return _compiled(dtype, architecture)
    except (ImportError, OSError, RuntimeError) as error:
        if isinstance(error, KernelError):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise KernelError(f"{reason[:200]} (pip install cuda-bindings may help)") from error


def _compiled(dtype: torch.dtype, architecture: str) -> bytes:
    from cuda.bindings import nvrtc

    source = files("model.engines").joinpath("series_activation.cu").read_bytes()
    options = [f"--gpu-architecture={architecture}", f"-D{_FORMATS[dtype]}"]
    options += [f"-DRUN={_RUN}", f"-DROWS={_ROWS}", f"-DLANES={_LANES}"]
    options += [f"-DTHREADS={_THREADS}"]
    program = _checked(nvrtc.nvrtcCreateProgram(source, b"series_activation.cu", 0, [], []))
    try:
        encoded = [option.encode() for option in options]
        if int(nvrtc.nvrtcCompileProgram(program, len(encoded), encoded)[0]):
            log = bytearray(_checked(nvrtc.nvrtcGetProgramLogSize(program)))
            _checked(nvrtc.nvrtcGetProgramLog(program, log))
            raise KernelError(" ".join(log.decode(errors="replace").strip("\0").split()))
        code = bytearray(_checked(nvrtc.nvrtcGetCUBINSize(program)))
        _checked(nvrtc.nvrtcGetCUBIN(program, code))
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return bytes(code)


def _launch(
    function: Any,
    grid: tuple[int, int, int],
    block: tuple[int, int, int],
    pointers: tuple[int, ...],
    numbers: tuple[int, ...],
    stream: int,
) -> None:
    from cuda.bindings import driver

    types = (ctypes.c_void_p,) * len(pointers) + (ctypes.c_int,) * len(numbers)
    arguments = ((*pointers, *numbers), types)
    _checked(driver.cuLaunchKernel(function, *grid, *block, 0, stream, arguments, 0))


def _checked(answer: tuple[Any, ...]) -> Any:
    """What a binding returned, without the error code that it begins with."""
    error, *results = answer
    if int(error):
        raise KernelError(f"CUDA says {getattr(error, 'name', error)}")
    return results[0] if results else None
