"""``python -m model.training.release``: give trained weights the name and threshold to ship with.

The threshold is chosen on pictures of one's own (``model.evaluate`` and ``benchmarks.detections``
print figures at many), never on those that are reported. The file is then named in a card beside it
by the hash that is printed.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from model.checkpoint import (
    LoadedNetwork,
    file_sha256,
    load_network,
    resolve_weights,
    save_network,
)
from model.mpcnet import MPCNet

LARGEST_BYTES = 6_000_000
"""What is shipped lies in the repository: no larger."""


def mean_network(paths: Sequence[Path]) -> LoadedNetwork:
    """The mean, number by number, of networks that were trained on from one another: between two
    such minima often lies a better one. Of one network: that network. Threshold and size of
    pictures are the first one's.

    Source: Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves
    accuracy without increasing inference time", ICML 2022.

    Raises:
        WeightsError: one cannot be read.
        ValueError: they differ in width, or in how they want pictures normalised.
    """
    networks = [load_network(path) for path in paths]
    first = networks[0]
    if len(networks) == 1:
        return first
    for path, network in zip(paths, networks, strict=True):
        for what in ("width", "mean", "std"):
            ours, theirs = getattr(first.info, what), getattr(network.info, what)
            if theirs != ours:
                raise ValueError(
                    f"{path} has {what} {theirs!r}, {paths[0]} {ours!r}: weights that have a mean "
                    "share it"
                )
    states = [network.state_dict() for network in networks]
    mean = {
        name: torch.stack([state[name].double() for state in states]).mean(dim=0).to(value.dtype)
        for name, value in states[0].items()
    }
    first.load_state_dict(mean)
    parts = [
        {**network.info.recipe, "name": network.info.name, "sha256": file_sha256(path)}
        for path, network in zip(paths, networks, strict=True)
    ]
    first.info = replace(first.info, recipe={"mean_of": parts})
    return first


@torch.no_grad()
def recentre(network: MPCNet, probability: float) -> None:
    """Shift what the network says, in place, so that this probability becomes 0.5.

    Crops show targets far more often than pictures do, so a network trained on crops is too ready
    to see one; evaluations by the published protocol, however, take 0.5. The order of all
    pixels stays as it is.

    Args:
        network: unfolded.
        probability: above 0 and below 1.

    Raises:
        ValueError: it is not.
    """
    if not 0 < probability < 1:
        raise ValueError(f"{probability:g} cannot become 0.5: expected between 0 and 1")
    for head in (network.head1, network.head2, network.head3):
        head.activation.bn.bias.sub_(math.log(probability / (1 - probability)))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit code 0: done; 1: the weights or the values are at fault; 2: wrong usage."""
    made = argparse.ArgumentParser(
        prog="python -m model.training.release",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--weights",
        required=True,
        nargs="+",
        metavar="NAME|PATH",
        help="as trained; of several, trained on from one another, the mean",
    )
    made.add_argument("--output", type=Path, required=True, metavar="FILE.safetensors")
    made.add_argument("--name", help="that travels in them (the output's, without its ending)")
    made.add_argument("--threshold", type=float, metavar="P", help="0..1 (as they have it)")
    made.add_argument(
        "--picture-size",
        type=int,
        metavar="PX",
        help="whole pictures are seen with the attention grid of this side, and much larger ones "
        "are scanned in windows of it (as they have it)",
    )
    made.add_argument(
        "--recentre",
        type=float,
        metavar="P",
        help="shift the probabilities so that P becomes 0.5, where the published protocol looks",
    )
    options = made.parse_args(arguments)
    try:
        if options.output.suffix != ".safetensors":
            raise ValueError(f"--output {options.output}: expected NAME.safetensors")
        network = mean_network([resolve_weights(each) for each in options.weights])
        threshold = network.info.threshold if options.threshold is None else options.threshold
        name, recipe = options.name or options.output.stem, network.info.recipe
        if options.recentre is not None:
            recentre(network, options.recentre)
            recipe = {**recipe, "recentred": options.recentre}
        size = options.picture_size or network.info.picture_size
        info = replace(
            network.info, name=name, threshold=threshold, picture_size=size, recipe=recipe
        )
        options.output.parent.mkdir(parents=True, exist_ok=True)
        save_network(options.output, network, info)
    except (ValueError, OSError) as error:
        print(f"model.training.release: {error}", file=sys.stderr)
        return 1
    size = options.output.stat().st_size
    print(f"{options.output}: {size} bytes, sha256 {file_sha256(options.output)}")
    if size > LARGEST_BYTES:
        print(f"larger than the {LARGEST_BYTES} bytes that are shipped", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
