"""Prepare a trained network for inference: fold every batch normalisation into a convolution."""

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model.mpcnet import MPCNet

NetworkT = TypeVar("NetworkT", bound=MPCNet)


def fold(network: NetworkT) -> NetworkT:
    """Return a frozen eval-mode copy of the network without batch normalisation.

    Same inputs, same outputs but for rounding; fewer steps and less memory traffic. In an ordinary
    block the convolution takes the BN; in a series activation, where the ReLU comes first, the
    depthwise 7x7 does and so gains a bias. The copy serves inference only: it cannot be trained on
    or saved as weights. It stays on the device of the original, which is left as it was.
    """
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    for module in folded.modules():
        conv, bn = getattr(module, "conv", None), getattr(module, "bn", None)
        if isinstance(conv, nn.Conv2d) and isinstance(bn, nn.BatchNorm2d):
            # In double precision, so that only one rounding is added; then back to what it was.
            dtype = conv.weight.dtype
            module.conv = fuse_conv_bn_eval(conv.double(), bn.double()).to(dtype)
            module.bn = nn.Identity()
    return folded.requires_grad_(False)
