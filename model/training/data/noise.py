"""Noise for the robustness table: what a worse sensor would have given."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

from model.training.data.published import Sample

_NOISE_HIGHEST = {"gaussian": 255.0, "speckle": 10.0, "salt-pepper": 1.0}


@dataclass(frozen=True, slots=True)
class Noise:
    """What is added to pictures to see what a worse sensor does; the same at every run.

    Raises:
        ValueError: no such kind, or an amount that it cannot have.
    """

    kind: str
    """gaussian, speckle (multiplicative, as MATLAB's imnoise) or salt-pepper."""
    amount: float
    """gaussian: standard deviation, grey levels of 0..255; speckle: variance of the factor around
    1; salt-pepper: share of the pixels, half of which become black and half white."""

    def __post_init__(self) -> None:
        highest = _NOISE_HIGHEST.get(self.kind)
        if highest is None or not 0 < self.amount <= highest:
            limits = ", ".join(f"{kind} up to {top:g}" for kind, top in _NOISE_HIGHEST.items())
            raise ValueError(f"noise {self.kind}:{self.amount:g} is none of {limits}")

    def __call__(self, sample: Sample) -> Sample:
        """The picture with noise, rounded and clipped to its type as a recording would be.

        The noise hangs on the picture's name alone, not on what was read before it.
        """
        rng = np.random.default_rng(zlib.crc32(sample.name.encode()))
        shape, top = sample.image.shape, int(np.iinfo(sample.image.dtype).max)
        grey = sample.image.astype(np.float64)
        if self.kind == "gaussian":
            grey += rng.normal(0.0, self.amount / sample.gain, shape)
        elif self.kind == "speckle":
            grey *= 1 + rng.normal(0.0, self.amount**0.5, shape)
        else:
            drawn = rng.random(shape)
            grey[drawn < self.amount] = top
            grey[drawn < self.amount / 2] = 0
        noisy = np.clip(np.rint(grey), 0, top)
        if sample.image.dtype == np.uint8:
            return replace(sample, image=noisy.astype(np.uint8))
        return replace(sample, image=noisy.astype(np.uint16))
