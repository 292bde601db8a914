"""A machine that only trains needs neither video decoders nor OpenVINO."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = """
import importlib, sys
for name in ("av", "openvino", "motmetrics"):
    sys.modules[name] = None  # importing it raises ModuleNotFoundError
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def modules_of(folder: str) -> list[str]:
    paths = sorted((ROOT / folder).rglob("*.py"))
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]


@pytest.mark.parametrize(
    "modules",
    [
        modules_of("model/training"),
        ["model.train", "model.evaluate", "model.detector", "benchmarks.agreement"],
    ],
    ids=["training", "commands"],
)
def test_it_can_be_imported_without(modules: list[str]) -> None:
    assert modules
    command = [sys.executable, "-c", WITHOUT, *modules]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
