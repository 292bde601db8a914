"""From raw pixels to the network's input: scaling of deep pixels, normalisation, padding."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own habit)
from torch import Tensor

from configs.schema import RangeSettings
from model.checkpoint import NetworkInfo
from streamer.types import Frame

PAD_MULTIPLE = 32
"""Pictures are padded to a multiple of this, as in the published evaluation."""

_GREY_LOW, _GREY_HIGH = 16.0, 224.0
"""Grey levels that the low and the high percentile become: what is hotter still has room."""
_SAMPLES = 20_000


class RangeEstimator:
    """The scaling of one source's pixels to the grey levels, 0..255, of the training pictures.

    Pixels of 8 bit stay as they are. Deeper ones are scaled by two percentiles of the picture,
    which follow the scene slowly: a hot object that enters covers few pixels, so it hardly moves a
    percentile, and what it moves the time constant delays.
    """

    def __init__(self, settings: RangeSettings) -> None:
        self._settings = settings
        self._low = math.nan
        self._high = math.nan
        self._last_pts = math.nan

    def gain_and_offset(self, frame: Frame) -> tuple[float, float]:
        """``pixel * gain + offset`` is the grey level; takes the frame into the estimate."""
        if frame.image.dtype == np.uint8:
            return 1.0, 0.0
        settings = self._settings
        stride = max(1, math.isqrt(frame.image.size // _SAMPLES))
        low, high = np.percentile(
            frame.image[::stride, ::stride], (settings.low_percentile, settings.high_percentile)
        )
        if math.isnan(self._low):
            self._low, self._high = float(low), float(high)
        else:
            elapsed = max(0.0, frame.pts_seconds - self._last_pts)
            tau = settings.time_constant_seconds
            follow = 1.0 - math.exp(-elapsed / tau) if tau > 0 else 1.0
            self._low += follow * (float(low) - self._low)
            self._high += follow * (float(high) - self._high)
        self._last_pts = frame.pts_seconds
        middle = (self._low + self._high) / 2
        span = max(self._high - self._low, settings.min_span)
        gain = (_GREY_HIGH - _GREY_LOW) / span
        return gain, (_GREY_LOW + _GREY_HIGH) / 2 - middle * gain


def normalise(pixels: Tensor, gain: Tensor, offset: Tensor, info: NetworkInfo) -> Tensor:
    """Scale, clip, normalise and pad, on whatever device the pixels are.

    Args:
        pixels: (B, H, W) uint8 or uint16.
        gain: (B,) float32; see :class:`model.engines.base.EngineBatch`.
        offset: (B,) float32.
        info: of the weights, for their mean and standard deviation.

    Returns:
        (B, 1, H', W') float32, channels last, H' and W' the next multiples of 32. The padding, at
        the right and the bottom, is 0 after normalisation: the mean.
    """
    grey = pixels.to(torch.float32) * gain.view(-1, 1, 1) + offset.view(-1, 1, 1)
    x = ((grey.clamp_(0.0, 255.0) - info.mean) / info.std).unsqueeze(1)
    height, width = x.shape[-2:]
    x = F.pad(x, (0, -width % PAD_MULTIPLE, 0, -height % PAD_MULTIPLE))
    return x.contiguous(memory_format=torch.channels_last)
