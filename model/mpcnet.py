"""MPCNet, the infrared small-target segmentation network (IEEE TGRS 2026), and nothing else.

Shapes in comments: B pictures, C channels, H x W pixels, g the side of the attention grid.
Wherever a module owns a `conv` and a `bn`, the one follows the other at once: `model.deploy` folds
them by that rule.
"""

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own habit)
from torch import Tensor, nn

STRIDE = 4
"""Height and width of the input must be multiples of this."""


def attention_grid_of(side: int) -> int:
    """Side of the attention grid for pictures of ``side`` px: a cell covers 8 px, as published."""
    return max(1, side // 8)


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Resize (B, C, ., .) bilinearly to (B, C, height, width), corners kept on corners."""
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=True)


class SeriesActivation(nn.Module):
    """ReLU, then a learned 7x7 blur of each channel, then BN; (B, C, H, W) stays so."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated (B, C, H, W)."""
        y: Tensor = self.bn(self.conv(F.relu(x)))
        return y


class ConvBlock(nn.Module):
    """Convolution, BN, series activation; (B, Cin, H, W) to (B, Cout, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.activation = SeriesActivation(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, Cout, H, W)."""
        y: Tensor = self.activation(self.bn(self.conv(x)))
        return y


class ConvBNReLU(nn.Module):
    """Convolution with bias, BN, ReLU; (B, C, H, W) stays so."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W)."""
        return F.relu(self.bn(self.conv(x)))


class Downsample(nn.Module):
    """Halve the picture without losing a pixel: its four phases and a max-pool, mixed by 1x1."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5 * in_channels, out_channels, 1)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, Cout, H/2, W/2) of (B, Cin, H, W) with even H and W."""
        phases = (x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2])
        pooled = F.max_pool2d(x, 3, stride=2, padding=1)
        y = torch.cat((*phases, pooled), dim=1)  # (B, 5 Cin, H/2, W/2)
        return F.relu(self.bn(self.conv(y)))


class CoordinateAttention(nn.Module):
    """Weigh every row and every column of each channel by what the row and column hold."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(8, channels // 32)
        self.conv = nn.Conv2d(channels, squeezed, 1)
        self.bn = nn.BatchNorm2d(squeezed)
        self.expand_h = nn.Conv2d(squeezed, channels, 1)
        self.expand_w = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W), every element weighted between 0 and 1."""
        height = x.shape[2]
        rows = x.mean(dim=3, keepdim=True)  # (B, C, H, 1)
        columns = x.mean(dim=2, keepdim=True).transpose(2, 3)  # (B, C, W, 1)
        squeezed = F.hardswish(self.bn(self.conv(torch.cat((rows, columns), dim=2))))
        rows, columns = squeezed[:, :, :height], squeezed[:, :, height:]
        a_h = torch.sigmoid(self.expand_h(rows))  # (B, C, H, 1)
        a_w = torch.sigmoid(self.expand_w(columns.transpose(2, 3)))  # (B, C, 1, W)
        y: Tensor = x * a_w * a_h
        return y


class SpatialAttention(nn.Module):
    """Weigh every pixel by the mean and the maximum of its channels and its neighbours'."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W), every pixel weighted between 0 and 1."""
        summary = torch.cat((x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)), dim=1)
        y: Tensor = x * torch.sigmoid(self.weigh(summary))
        return y


class MultiscalePerception(nn.Module):
    """MPM: look at four channel groups through windows of 7, 3, 5 and 7 pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3 = ConvBNReLU(channels // 4, 3)
        self.branch5 = ConvBNReLU(channels // 4, 5)
        self.branch7 = ConvBNReLU(channels // 4, 7)  # serves two groups, its statistics too
        self.merge = ConvBlock(2 * channels, channels, 1)
        self.attention = CoordinateAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W)."""
        g1, g2, g3, g4 = x.chunk(4, dim=1)  # (B, C/4, H, W) each
        seen = (self.branch7(g1), self.branch3(g2), self.branch5(g3), self.branch7(g4))
        y: Tensor = self.attention(self.merge(torch.cat((*seen, x), dim=1)))
        return y


class CrossAttentionFusion(nn.Module):
    """GSFM: let a shallow and a deep map attend to themselves and to each other on a small grid.

    The three blocks of keys, values and queries of a map are one block of three times the
    channels, and the four attentions are four heads of one call: the same numbers, fewer steps.
    """

    def __init__(self, low_channels: int, high_channels: int, channels: int) -> None:
        super().__init__()
        self.align = nn.Conv2d(low_channels, high_channels, 1)
        self.low_kvq = ConvBlock(high_channels, 3 * channels, 3)
        self.high_kvq = ConvBlock(high_channels, 3 * channels, 3)
        self.gains = nn.Parameter(torch.zeros(4))  # of L, H, LH, HL
        self.reduce = ConvBlock(4 * channels, channels, 3)

    def forward(self, low: Tensor, high: Tensor, grid: int) -> Tensor:
        """Return (B, C, H, W) of low (B, Clow, 2H, 2W) and high (B, Chigh, H, W)."""
        height, width = high.shape[-2:]
        low = self.align(resize(low, height, width))  # (B, Chigh, H, W)
        low_grid = resize(low, grid, grid)
        k_low, v_low, q_low = _tokens(self.low_kvq(low_grid))  # (B, g*g, C) each
        k_high, v_high, q_high = _tokens(self.high_kvq(resize(high, grid, grid)))
        v_dual = v_low + v_high

        # K takes the place that is usually the query's, and nothing divides by sqrt(C).
        seen = _attend(
            query=torch.stack((k_low, k_high, k_low, k_high), dim=1),  # (B, 4, g*g, C)
            key=torch.stack((q_low, q_high, q_high, q_low), dim=1),
            value=torch.stack((v_dual, v_dual, v_low, v_high), dim=1),
            precise=self.training,
        )
        seen = (seen * self.gains.view(1, 4, 1, 1)).to(low.dtype)
        # Channels last, as all that it is put together with on a GPU; on a CPU it is the same.
        seen = seen.transpose(1, 2).reshape(low.shape[0], grid, grid, -1).permute(0, 3, 1, 2)
        seen_l, seen_h, seen_lh, seen_hl = seen.chunk(4, dim=1)
        seen = torch.cat((seen_l, seen_h, seen_lh, seen_hl + low_grid), dim=1)
        passed = torch.cat((low, high, high, low), dim=1)  # (B, 4 C, H, W)
        y: Tensor = self.reduce(resize(seen, height, width) + passed)
        return y


def _attend(*, query: Tensor, key: Tensor, value: Tensor, precise: bool) -> Tensor:
    """Return softmax(Q K^T) V, (B, 4, N, C), of Q, K and V of that shape.

    Args:
        precise: in single precision, also under autocast: products reach hundreds, of which a
            brain float keeps eight bits, and a training on a GPU came to no numbers so.
    """
    if not precise:
        return F.scaled_dot_product_attention(query, key, value, scale=1.0)
    with torch.autocast(query.device.type, enabled=False):
        return F.scaled_dot_product_attention(query.float(), key.float(), value.float(), scale=1.0)


def _tokens(kvq: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split (B, 3 C, g, g) into keys, values and queries of shape (B, g*g, C)."""
    k, v, q = kvq.flatten(2).transpose(1, 2).chunk(3, dim=2)
    return k, v, q


class DecoderFusion(nn.Module):
    """SCFM: merge an encoder's map with a decoder's, each cross-checked by the other's saliency."""

    def __init__(
        self, low_channels: int, high_channels: int, channels: int, kernel: int, *, upsample: bool
    ) -> None:
        super().__init__()
        self.upsample = upsample
        self.low_attention = SpatialAttention()
        self.high_attention = SpatialAttention()
        self.low_saliency = _saliency(low_channels, kernel)
        self.high_saliency = _saliency(high_channels, kernel)
        self.mix = ConvBlock(low_channels + high_channels, channels, 1)
        self.attention = CoordinateAttention(channels)
        self.low_project = ConvBlock(low_channels, channels, 1)
        self.high_project = ConvBlock(high_channels, channels, 1)
        self.fuse = ConvBlock(2 * channels, channels, 1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Return (B, C, H, W); low is (B, Clow, H, W), high that or half its size (upsample)."""
        if self.upsample:
            high = resize(high, low.shape[-2], low.shape[-1])
        low_a, high_a = self.low_attention(low), self.high_attention(high)
        s_low = torch.sigmoid(self.low_saliency(low_a))  # (B, 1, H, W)
        s_high = torch.sigmoid(self.high_saliency(high_a))
        mixed = self.mix(torch.cat((low * s_high, high * s_low), dim=1))
        a = torch.sigmoid(self.attention(mixed))  # (B, C, H, W)
        low, high = self.low_project(low + low_a), self.high_project(high + high_a)
        y: Tensor = self.fuse(torch.cat((a * low, a * high), dim=1))
        return y


def _saliency(channels: int, kernel: int) -> nn.Sequential:
    squeezed = max(1, channels // 16)
    return nn.Sequential(ConvBlock(channels, squeezed, kernel), nn.Conv2d(squeezed, 1, 1))


class MPCNet(nn.Module):
    """The whole network; width 32 is the published one, of 2,398,505 parameters.

    Args:
        width: channels at full resolution, a multiple of 4; twice and four times as many follow
            at half and at quarter resolution.

    Raises:
        ValueError: the width is not a positive multiple of 4.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        if width < 4 or width % 4:
            raise ValueError(f"width must be a positive multiple of 4, not {width}")
        self.width = width
        c1, c2, c3 = width, 2 * width, 4 * width

        self.encoder1 = ConvBlock(1, c1, 3)
        self.mpm1 = MultiscalePerception(c1)
        self.encoder2 = nn.Sequential(ConvBlock(c1, c2, 3), Downsample(c2, c2))
        self.gsfm1 = CrossAttentionFusion(c1, c2, c2)
        self.mpm2 = MultiscalePerception(c2)
        self.encoder3 = nn.Sequential(ConvBlock(c2, c3, 3), Downsample(c3, c3))
        self.gsfm2 = CrossAttentionFusion(c2, c3, c3)
        self.mpm3 = MultiscalePerception(c3)

        self.scfm3 = DecoderFusion(c3, c3, c2, 1, upsample=False)
        self.scfm2 = DecoderFusion(c2, c2, c1, 1, upsample=True)
        self.scfm1 = DecoderFusion(c1, c1, c1, 3, upsample=True)
        self.head1 = ConvBlock(c1, 1, 1)
        self.head2 = ConvBlock(c1, 1, 1)
        self.head3 = ConvBlock(c2, 1, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: Kaiming for ordinary convolutions, and two starts of our own.

        The 7x7 kernel of a series activation starts as a delta with a little noise, so that the
        activation begins as a plain ReLU and not as a random blur that erases small targets. The
        last BN of a head starts at weight 2 and bias -4, so that nearly everything begins as
        background, as it is in nearly every picture.
        """
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, CrossAttentionFusion):
                nn.init.zeros_(module.gains)
        for module in self.modules():
            if isinstance(module, SeriesActivation):
                nn.init.normal_(module.conv.weight, std=0.02)
                with torch.no_grad():
                    module.conv.weight[..., 3, 3] += 1.0
        for head in (self.head1, self.head2, self.head3):
            nn.init.constant_(head.activation.bn.weight, 2.0)
            nn.init.constant_(head.activation.bn.bias, -4.0)

    def forward(
        self, x: Tensor, all_heads: bool = False, attention_grid: int = 32
    ) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Return the probability, 0..1, that each pixel belongs to a target.

        Args:
            x: (B, 1, H, W) float, normalised as (grey - mean) / std; H and W multiples of 4.
            all_heads: return the probabilities of d1, d2 and d3, not of d1 alone.
            attention_grid: side of the grid on which attention runs; an eighth of the picture's
                side that the network was trained at.

        Returns:
            (B, 1, H, W), or three of them.

        Raises:
            ValueError: x has another shape, or the grid is smaller than 1.
        """
        if all_heads:
            l1, l2, l3 = self.forward_logits(x, attention_grid)
            return torch.sigmoid(l1), torch.sigmoid(l2), torch.sigmoid(l3)
        return torch.sigmoid(self.head1(self._decode(x, attention_grid)[0]))

    def forward_logits(self, x: Tensor, attention_grid: int = 32) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of d1, d2 and d3, each (B, 1, H, W); see `forward`."""
        d1, d2, d3 = self._decode(x, attention_grid)
        height, width = x.shape[-2:]
        l2 = resize(self.head2(d2), height, width)
        l3 = resize(self.head3(d3), height, width)
        return self.head1(d1), l2, l3

    def _decode(self, x: Tensor, grid: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return d1 (B, w, H, W), d2 (B, w, H/2, W/2) and d3 (B, 2w, H/4, W/4)."""
        _check_input(x, grid)
        e1 = self.encoder1(x)  # (B, w, H, W)
        m1 = self.mpm1(e1)
        e2 = self.encoder2(m1)  # (B, 2w, H/2, W/2)
        x1 = self.gsfm1(e1, e2, grid)
        m2 = self.mpm2(x1)
        e3 = self.encoder3(m2)  # (B, 4w, H/4, W/4)
        x2 = self.gsfm2(e2, e3, grid)
        m3 = self.mpm3(x2)
        d3 = self.scfm3(x2, m3)
        d2 = self.scfm2(m2, d3)
        d1 = self.scfm1(m1, d2)
        return d1, d2, d3


def _check_input(x: Tensor, grid: int) -> None:
    if x.ndim != 4 or x.shape[1] != 1:
        raise ValueError(f"input must be of shape (B, 1, H, W), not {tuple(x.shape)}")
    height, width = x.shape[-2:]
    if height < STRIDE or width < STRIDE or height % STRIDE or width % STRIDE:
        raise ValueError(
            f"input height and width must be positive multiples of {STRIDE}, not {height}x{width}"
        )
    if grid < 1:
        raise ValueError(f"attention_grid must be 1 or more, not {grid}")
