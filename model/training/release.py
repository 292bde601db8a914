"""``python -m model.training.release``: give trained weights the name and threshold to ship with.

The threshold is chosen on pictures of one's own (``model.evaluate`` and ``benchmarks.detections``
print figures at many), never on those that are reported. The file is then named in a card beside it
by the hash that is printed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from model.checkpoint import file_sha256, load_network, resolve_weights, save_network

LARGEST_BYTES = 6_000_000
"""What is shipped lies in the repository: no larger."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit code 0: done; 1: the weights or the values are at fault; 2: wrong usage."""
    made = argparse.ArgumentParser(
        prog="python -m model.training.release",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--weights", required=True, metavar="NAME|PATH", help="as trained")
    made.add_argument("--output", type=Path, required=True, metavar="FILE.safetensors")
    made.add_argument("--name", help="that travels in them (the output's, without its ending)")
    made.add_argument("--threshold", type=float, metavar="P", help="0..1 (as they have it)")
    options = made.parse_args(arguments)
    try:
        if options.output.suffix != ".safetensors":
            raise ValueError(f"--output {options.output}: expected NAME.safetensors")
        network = load_network(resolve_weights(options.weights))
        threshold = network.info.threshold if options.threshold is None else options.threshold
        name = options.name or options.output.stem
        options.output.parent.mkdir(parents=True, exist_ok=True)
        save_network(options.output, network, replace(network.info, name=name, threshold=threshold))
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
