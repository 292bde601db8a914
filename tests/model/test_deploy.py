"""Folding: no batch normalisation left, the same numbers out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from model.checkpoint import load_network
from model.deploy import fold
from model.mpcnet import MPCNet


def random_network(width: int) -> MPCNet:
    """Return an eval-mode network with lively statistics, as training would leave them."""
    torch.manual_seed(width)
    network = MPCNet(width)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert isinstance(module.running_mean, Tensor)
            assert isinstance(module.running_var, Tensor)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    for fusion in (network.gsfm1, network.gsfm2):
        nn.init.uniform_(fusion.gains)
    return network.eval()


def assert_same(network: MPCNet, folded: MPCNet, x: Tensor) -> None:
    with torch.inference_mode():
        pairs = zip(network(x, all_heads=True), folded(x, all_heads=True), strict=True)
    for before, after in pairs:
        error = (before - after).abs()
        assert error.max() < 1e-3
        assert error.mean() < 5e-5


@pytest.mark.parametrize("size", ["256x256", "240x320"])
def test_golden_weights_fold(shared_dir: Path, size: str) -> None:
    network = load_network(shared_dir / "golden" / "mpcnet_random.pth.tar")
    golden = np.load(shared_dir / "golden" / "mpcnet_random_io.npz")
    folded = fold(network)
    x = torch.from_numpy(golden[f"input_{size}"])
    assert_same(network, folded, x)
    with torch.inference_mode():
        error = np.abs(folded(x).numpy() - golden[f"output1_{size}"])
    assert error.max() < 1e-3
    assert folded.info == network.info


@pytest.mark.parametrize("width", [8, 16])
def test_random_weights_fold(width: int) -> None:
    network = random_network(width)
    assert_same(network, fold(network), torch.randn(2, 1, 64, 96))


def test_nothing_is_left_to_normalise_or_train() -> None:
    network = random_network(8).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = fold(network)
    assert not any(isinstance(module, _BatchNorm) for module in folded.modules())
    assert not folded.training
    assert not any(p.requires_grad for p in folded.parameters())
    assert all(p.dtype == torch.float32 for p in folded.parameters())

    assert network.training  # the original is left as it was
    assert all(p.requires_grad for p in network.parameters())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_folding_twice_changes_nothing() -> None:
    once = fold(random_network(8))
    twice = fold(once)
    x = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        assert torch.equal(once(x), twice(x))
