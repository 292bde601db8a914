"""A network of twice the width that computes the same: a wide training need not begin at nothing.

Every channel becomes two neighbours that carry the same numbers, and whatever reads them takes half
of each (Net2Net: Chen, Goodfellow and Shlens, ICLR 2016). Twins would learn the same for ever, so
the halves are uneven, by random amounts that cancel.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from model.mpcnet import CrossAttentionFusion, MPCNet

_UNEVENNESS = 0.3
"""Deviation of the share of a reader's weight that one twin gives to the other."""


@torch.no_grad()
def widened(network: MPCNet, rng: np.random.Generator) -> MPCNet:
    """A network of twice the width with the same outputs, but for rounding.

    Args:
        network: the narrow one; left as it is.
        rng: makes twins differ.
    """
    wide = MPCNet(2 * network.width)
    state = network.state_dict()
    wide.load_state_dict(
        {key: _grown(state[key], like, rng) for key, like in wide.state_dict().items()}
    )
    for module in wide.modules():
        if isinstance(module, CrossAttentionFusion):
            _halve_products(module)
    return wide.train(network.training)


def _grown(narrow: Tensor, like: Tensor, rng: np.random.Generator) -> Tensor:
    """The parameter in the shape of the wide network's."""
    if narrow.shape == like.shape:
        return narrow.clone()
    grown = narrow.repeat_interleave(like.shape[0] // narrow.shape[0], dim=0)
    if grown.shape == like.shape:  # of each channel by itself: biases, BN, depthwise kernels
        return grown
    share = torch.from_numpy(rng.normal(0, _UNEVENNESS, grown.shape[:2]).astype(np.float32))
    share = share[:, :, None, None]
    twins = torch.stack((grown * (1 + share) / 2, grown * (1 - share) / 2), dim=2)
    return twins.flatten(1, 2)


def _halve_products(fusion: CrossAttentionFusion) -> None:
    """Keys meet queries in a sum over channels, of which there are twice as many now."""
    for block in (fusion.low_kvq, fusion.high_kvq):
        bn: nn.BatchNorm2d = block.activation.bn
        channels = len(bn.weight) // 3
        for part in (slice(0, channels), slice(2 * channels, None)):  # keys and queries
            bn.weight[part] /= math.sqrt(2)
            bn.bias[part] /= math.sqrt(2)
