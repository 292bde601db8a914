"""The network: equal to the published one, and sound at every allowed size and width."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own habit)
from torch import Tensor, nn

from model.checkpoint import load_network
from model.mpcnet import CrossAttentionFusion, MPCNet, SeriesActivation


@pytest.fixture(scope="module")
def small() -> MPCNet:
    torch.manual_seed(0)
    return MPCNet(8).eval()


@pytest.mark.parametrize("size", ["256x256", "240x320"])
def test_equals_the_public_code(shared_dir: Path, size: str) -> None:
    network = load_network(shared_dir / "golden" / "mpcnet_random.pth.tar")
    golden = np.load(shared_dir / "golden" / "mpcnet_random_io.npz")
    x = torch.from_numpy(golden[f"input_{size}"])
    with torch.inference_mode():
        heads = network(x, all_heads=True)
        alone = network(x)
    for number, head in enumerate(heads, start=1):
        error = np.abs(head.numpy() - golden[f"output{number}_{size}"])
        assert error.max() < 1e-3
        assert error.mean() < 5e-5
    assert torch.equal(alone, heads[0])


@pytest.mark.parametrize(("width", "count"), [(32, 2_398_505), (16, 633_561), (8, 175_643)])
def test_parameter_count(width: int, count: int) -> None:
    with torch.device("meta"):
        network = MPCNet(width)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("width", [0, -4, 6, 3])
def test_refuses_impossible_widths(width: int) -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        MPCNet(width)


@pytest.mark.parametrize("size", [(4, 4), (36, 52), (8, 100), (64, 4)])
@pytest.mark.parametrize("grid", [1, 3, 8])
def test_any_multiple_of_four(small: MPCNet, size: tuple[int, int], grid: int) -> None:
    x = torch.randn(2, 1, *size)
    with torch.inference_mode():
        heads = small(x, all_heads=True, attention_grid=grid)
        logits = small.forward_logits(x, grid)
    for head, logit in zip(heads, logits, strict=True):
        assert head.shape == x.shape
        assert bool(((head >= 0) & (head <= 1)).all())
        torch.testing.assert_close(torch.sigmoid(logit), head)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1, 30, 32), "multiples of 4, not 30x32"),
        ((1, 1, 32, 33), "multiples of 4, not 32x33"),
        ((1, 1, 0, 32), "positive"),
        ((1, 3, 32, 32), r"\(B, 1, H, W\)"),
        ((1, 32, 32), r"\(B, 1, H, W\)"),
    ],
)
def test_refuses_other_shapes(small: MPCNet, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(torch.zeros(shape))


def test_refuses_an_empty_grid(small: MPCNet) -> None:
    with pytest.raises(ValueError, match="attention_grid"):
        small(torch.zeros(1, 1, 8, 8), attention_grid=0)


def test_pictures_of_a_batch_do_not_touch(small: MPCNet) -> None:
    x = torch.randn(3, 1, 32, 48)
    with torch.inference_mode():
        batch = small(x, attention_grid=4)
        alone = torch.cat([small(one[None], attention_grid=4) for one in x])
    torch.testing.assert_close(batch, alone, rtol=0, atol=1e-5)


def test_memory_format_and_repetition_change_nothing(small: MPCNet) -> None:
    x = torch.randn(1, 1, 32, 48)
    with torch.inference_mode():
        first, second = small(x, attention_grid=4), small(x, attention_grid=4)
        twin = MPCNet(8).eval()
        twin.load_state_dict(small.state_dict())
        twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        last = twin(x.to(memory_format=torch.channels_last), attention_grid=4)
    assert torch.equal(first, second)
    torch.testing.assert_close(last, first, rtol=0, atol=1e-5)


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    network = MPCNet(8).train()
    with torch.no_grad():  # at their start of 0 the gains keep gradients from the attention
        for module in network.modules():
            if isinstance(module, CrossAttentionFusion):
                module.gains.fill_(0.5)
    logits = network.forward_logits(torch.randn(2, 1, 32, 32), attention_grid=4)
    loss: Tensor = torch.stack([logit.square().mean() for logit in logits]).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
    zero = [n for n, p in network.named_parameters() if p.grad is not None and not p.grad.any()]
    assert not zero


@pytest.mark.parametrize(("training", "expected"), [(True, torch.float32), (False, torch.bfloat16)])
def test_attention_is_trained_in_single_precision_also_under_autocast(
    monkeypatch: pytest.MonkeyPatch, training: bool, expected: torch.dtype
) -> None:
    fusion = CrossAttentionFusion(4, 8, 8).train(training)
    seen: list[torch.dtype] = []
    attention = F.scaled_dot_product_attention

    def watched(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
        seen.extend(each.dtype for each in (query, key, value))
        return attention(query, key, value, scale=scale)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    with torch.autocast("cpu", torch.bfloat16):
        fused = fusion(torch.randn(2, 4, 16, 16), torch.randn(2, 8, 8, 8), 4)
    assert seen == [expected] * 3
    assert fused.dtype == torch.bfloat16


def test_gains_learn_from_their_start() -> None:
    torch.manual_seed(0)
    network = MPCNet(8).train()
    loss = network.forward_logits(torch.randn(2, 1, 32, 32), 4)[0].square().mean()
    loss.backward()  # type: ignore[no-untyped-call]
    for fusion in (network.gsfm1, network.gsfm2):
        assert not fusion.gains.any()
        assert fusion.gains.grad is not None
        assert bool((fusion.gains.grad != 0).all())


def test_starts_as_background_and_sharp() -> None:
    torch.manual_seed(0)
    network = MPCNet(8)
    for module in network.modules():
        if isinstance(module, SeriesActivation):
            kernel = module.conv.weight.detach().clone()
            assert bool((kernel[..., 3, 3] > 0.8).all())
            kernel[..., 3, 3] = 0
            assert kernel.abs().max() < 0.2
    for head in (network.head1, network.head2, network.head3):
        assert head.activation.bn.weight.item() == 2
        assert head.activation.bn.bias.item() == -4
    probabilities = network.train()(torch.randn(4, 1, 64, 64), attention_grid=8)
    assert probabilities.mean() < 0.2


def test_the_seed_decides_the_start() -> None:
    torch.manual_seed(3)
    one = MPCNet(8).state_dict()
    torch.manual_seed(3)
    other = MPCNet(8).state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_two_wide_branches_are_one() -> None:
    network = MPCNet(8).train()
    network(torch.randn(1, 1, 16, 16), attention_grid=2)
    counter = network.mpm1.branch7.bn.num_batches_tracked
    assert isinstance(counter, Tensor)
    assert counter.item() == 2  # called twice a pass, its statistics too


def test_exports_with_free_sizes(small: MPCNet) -> None:
    height, width = torch.export.Dim("h", max=100), torch.export.Dim("w", max=100)
    program = torch.export.export(
        small,
        (torch.randn(1, 1, 32, 48),),
        dynamic_shapes=({2: 4 * height, 3: 4 * width},),
    )
    x = torch.randn(1, 1, 64, 36)
    with torch.inference_mode():
        torch.testing.assert_close(program.module()(x), small(x), rtol=0, atol=1e-5)


def test_runs_in_half_precision(small: MPCNet) -> None:
    x = torch.randn(1, 1, 32, 32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        half = small(x, attention_grid=4)
    with torch.inference_mode():
        full = small(x, attention_grid=4)
    assert (half.float() - full).abs().max() < 0.05


def test_epsilons() -> None:
    network = MPCNet(8)
    series = {m.bn for m in network.modules() if isinstance(m, SeriesActivation)}
    for bn in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        assert bn.eps == (1e-6 if bn in series else 1e-5)
        assert bn.momentum == 0.1
