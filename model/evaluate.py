"""``python -m model.evaluate``: how well weights find the targets of a labelled set of pictures.

Pictures are taken whole, at their own size, normalised with the weights' own mean and deviation,
and padded to a multiple of 32 after that, as in the published evaluation. The network runs in
single precision. What the figures mean is in :mod:`model.training.metrics`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.checkpoint import file_sha256, load_network, resolve_weights
from model.training.data.noise import Noise
from model.training.data.published import open_set
from model.training.evaluation import evaluate_pictures, exact_engine, probability_of
from model.training.metrics import (
    FA_LIMIT,
    REFERENCE_THRESHOLD,
    SIZES_PX,
    Counts,
    Evaluation,
    ReferenceCounts,
)
from model.training.pictures import panels, png, pr_picture

FINISHED, FAILED, INTERRUPTED = 0, 1, 130

# Even in the logit, as probabilities crowd at both ends; 0.5 is among them.
CURVE_THRESHOLDS = tuple(float(p) for p in np.round(1 / (1 + np.exp(-np.linspace(-9, 9, 49))), 6))


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Exit code 0: done; 1: data or weights are at fault; 2: wrong usage; 130: Ctrl-C.

    Nothing is written before everything is known.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.device == "cuda" and options.engine == "openvino":
        parser.error("--engine openvino runs on a CPU: leave it out on CUDA")
    outputs = (options.json, options.markdown, options.pr, options.panels)
    try:
        for path in outputs:  # found out now, not after an hour
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
        weights = resolve_weights(options.weights)
        network = load_network(weights)
        pictures = open_set(
            options.data, options.split, skip_bad=options.skip_bad, limit=options.limit
        )
        for problem in pictures.problems:
            sys.stderr.write(f"left out: {problem}\n")
        device = torch.device(options.device)
        with exact_engine(network, device, options.engine) as engine:
            result, ious = evaluate_pictures(
                engine,
                pictures,
                (options.threshold, network.info.threshold, *CURVE_THRESHOLDS),
                options.noise,
            )
            report = {
                "weights": network.info.name,
                "weights_sha256": file_sha256(weights),
                "mean": network.info.mean,
                "std": network.info.std,
                "data": pictures.name,
                "split": Path(options.split).name,
                "noise": options.noise and f"{options.noise.kind}:{options.noise.amount:g}",
                "left_out": list(pictures.problems),
                "engine": engine.name,
                "device": engine.device,
                "number_format": engine.precision,
                **figures(result, options.threshold, network.info.threshold),
            }
            table = markdown(report)
            text = json.dumps(report, indent=2, allow_nan=False) + "\n"
            files = {options.json: text.encode(), options.markdown: table.encode()}
            if options.pr is not None:
                marked = (options.threshold, network.info.threshold)
                files[options.pr] = png(pr_picture(result, marked))
            if options.panels is not None:
                page = panels(
                    partial(probability_of, engine),
                    pictures,
                    ious,
                    options.threshold,
                    options.noise,
                )
                files[options.panels] = png(page)
        for path, content in files.items():
            if path is not None:
                path.write_bytes(content)
    except KeyboardInterrupt:
        sys.stderr.write("model.evaluate: interrupted, nothing is written\n")
        return INTERRUPTED
    except (ValueError, OSError) as error:
        sys.stderr.write(f"model.evaluate: {' '.join(str(error).split())}\n")
        return FAILED
    sys.stdout.write(table)
    return FINISHED


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m model.evaluate", description=__doc__)
    add = made.add_argument
    add("--data", required=True, metavar="DIR", help="NAME/ with image/ and mask/")
    add("--split", required=True, help="train, test, or a text file of names, one a line")
    add("--weights", required=True, metavar="NAME|PATH", help="in model/weights, or a file")
    add("--json", type=Path, required=True, metavar="FILE", help="all figures and curves")
    add("--markdown", type=Path, metavar="FILE", help="the table, which is also printed")
    add("--pr", type=Path, metavar="FILE.png", help="the curve of precision over recall")
    add("--panels", type=Path, metavar="FILE.png", help="pictures, from the worst to the best")
    add("--threshold", type=_probability, default=0.5, metavar="P", help="probability (0.5)")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--engine", choices=("torch", "openvino"), default="torch", help="what runs it (torch)")
    add("--noise", type=_noise, metavar="KIND:X", help="gaussian:10 (deviation, grey levels), "
        "speckle:0.03 (variance) or salt-pepper:0.01 (share of pixels)")  # fmt: skip
    add("--skip-bad", action="store_true", help="leave faulty pictures out instead of stopping")
    add("--limit", type=_positive, metavar="N", help="only the first N names of the split")
    return made


def _probability(text: str) -> float:
    value = float(text)  # argparse tells of what is no number
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, not {text}")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return value


def _noise(text: str) -> Noise:
    kind, _, amount = text.partition(":")
    try:
        return Noise(kind, float(amount))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# ---------------------------------------------------------------- figures


def figures(result: Evaluation, threshold: float, own: float) -> dict[str, Any]:
    """Everything that was counted, for JSON: rates are fractions, null where there is none.

    Args:
        result: what was counted.
        threshold: the one asked for; its rates also stand at the top.
        own: the weights'.
    """
    asked = _at(threshold, result.at(threshold), result.reference)
    return {
        **{name: asked[name] for name in _RATES},
        "at_threshold": asked,
        "at_weights_threshold": _at(own, result.at(own), result.reference),
        "curves": {
            "thresholds": list(result.thresholds),
            **{name: [getattr(each, name) for each in result.counts] for name in _CURVES},
        },
        "areas": {
            "pr": result.pr_area,
            "roc": result.roc_area,
            "pd_fa": result.pd_fa_area,
            "pd_fa_up_to_fa": FA_LIMIT,
        },
    }


_RATES = ("iou", "niou", "f1", "precision", "recall", "pd", "fa", "fa_reference")
_CURVES = ("precision", "recall", "false_positive_rate", "pd", "fa")
_COUNTED = ("pictures", "pixels", "true_positives", "false_positives", "false_negatives",
            "true_negatives", "false_components", "false_pixels")  # fmt: skip


def _at(threshold: float, counts: Counts, reference: ReferenceCounts) -> dict[str, Any]:
    return {
        "threshold": threshold,
        **{name: getattr(counts, name) for name in _RATES[:-1]},
        "fa_reference": reference.fa,
        "pd_by_size": [
            {"from_px": low, "to_px": high, "targets": there, "detected": found, "pd": pd}
            for (low, high), there, found, pd in zip(
                SIZES_PX, counts.targets, counts.detected, counts.pd_by_size, strict=True
            )
        ],
        "counts": {
            **{name: getattr(counts, name) for name in _COUNTED},
            "targets": sum(counts.targets),
            "detected": sum(counts.detected),
            "predicted_components": counts.predicted,
            "reference": {
                "threshold": REFERENCE_THRESHOLD,
                "detected": reference.detected,
                "false_pixels": reference.false_pixels,
            },
        },
    }


def markdown(report: dict[str, Any]) -> str:
    """The table for people, every rate with what was counted.

    Args:
        report: what `figures` gives, with the names of weights, data and split.
    """
    columns = [report["at_threshold"]]
    if report["at_weights_threshold"]["threshold"] != columns[0]["threshold"]:
        columns.append(report["at_weights_threshold"])
    heads = [f"at {column['threshold']:g} | counted" for column in columns]
    noise = f", noise {report['noise']}" if report["noise"] else ""
    title = f"{report['weights']} on {report['data']}, {report['split']}{noise}"
    lines = [f"| {title} | {' | '.join(heads)} |", "| --- |" + " ---: | --- |" * len(columns)]
    rows = [_cells(column) for column in columns]
    for name in rows[0]:
        lines.append(f"| {name} | " + " | ".join(row[name] for row in rows) + " |")
    areas = report["areas"]
    lines.append(
        f"\nAreas: precision over recall {_number(areas['pr'])}, ROC {_number(areas['roc'])}, "
        f"Pd over Fa up to {1e6 * FA_LIMIT:g}e-6 {_number(areas['pd_fa'])}."
    )
    return "\n".join(lines) + "\n"


def _number(rate: float | None, scale: float = 1.0, digits: int = 4) -> str:
    return "none" if rate is None else f"{rate * scale:.{digits}f}"


def _cells(at: dict[str, Any]) -> dict[str, str]:
    n = at["counts"]
    hit, wrong = n["true_positives"], n["false_positives"] + n["false_negatives"]
    counted = {
        "IoU": ("iou", f"{hit} of {hit + wrong} px"),
        "nIoU": ("niou", f"mean of {n['pictures']} pictures"),
        "F1": ("f1", f"2 x {hit} of {2 * hit + wrong} px"),
        "precision": ("precision", f"{hit} of {hit + n['false_positives']} px"),
        "recall": ("recall", f"{hit} of {hit + n['false_negatives']} px"),
        "Pd": ("pd", f"{n['detected']} of {n['targets']} targets"),
    }
    cells = {name: f"{_number(at[key])} | {text}" for name, (key, text) in counted.items()}
    for size in at["pd_by_size"]:
        to = f"to {size['to_px']} px" if size["to_px"] else "px or more"
        found = f"{size['detected']} of {size['targets']} targets"
        cells[f"Pd, {size['from_px']} {to}"] = f"{_number(size['pd'])} | {found}"
    false = f"{n['false_pixels']} of {n['pixels']} px, {n['false_components']} components"
    cells["Fa, 1e-6"] = f"{_number(at['fa'], 1e6, 2)} | {false}"
    # It belongs to 0.5 whatever else was asked for.
    reference = n["reference"]
    cells[f"Fa as the public code, at {reference['threshold']:g}, 1e-6"] = (
        f"{_number(at['fa_reference'], 1e6, 2)} | {reference['false_pixels']} of {n['pixels']} px"
    )
    return cells


if __name__ == "__main__":
    sys.exit(main())
