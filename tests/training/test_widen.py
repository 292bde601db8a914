"""A widened network answers as the narrow one does, and its twins learn apart."""

import numpy as np
import pytest
import torch

from model.mpcnet import CrossAttentionFusion, MPCNet
from model.training.losses import segmentation_loss
from model.training.widen import widened


def restless(width: int) -> MPCNet:
    """A network of which every part takes part, attention too, with statistics of what it saw."""
    torch.manual_seed(0)
    network = MPCNet(width)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, CrossAttentionFusion):
                module.gains.copy_(torch.tensor([0.7, -0.5, 0.9, 0.4]))
        for _ in range(20):
            network(torch.randn(2, 1, 48, 64), attention_grid=8)
    return network


@pytest.mark.parametrize("width", [4, 16])
@pytest.mark.parametrize("training", [False, True])
def test_all_heads_give_the_same(width: int, training: bool) -> None:
    narrow = restless(width).train(training)
    wide = widened(narrow, np.random.default_rng(0))
    assert wide.width == 2 * width
    assert wide.training == training
    x = torch.randn(2, 1, 48, 64)
    with torch.no_grad():
        for ours, theirs in zip(
            narrow.forward_logits(x, 8), wide.forward_logits(x, 8), strict=True
        ):
            assert float(ours.std()) > 0.01
            torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4 * float(ours.abs().max()))


def test_twins_get_gradients_of_their_own() -> None:
    wide = widened(restless(4), np.random.default_rng(0)).train()
    x = torch.randn(2, 1, 32, 32)
    target = (x > 2).float()
    segmentation_loss(wide.forward_logits(x, 4), target, torch.ones_like(target)).backward()
    gradient = wide.encoder1.conv.weight.grad
    assert gradient is not None
    even, odd = gradient[::2], gradient[1::2]
    assert float((even - odd).abs().max()) > 0.05 * float(gradient.abs().max())
