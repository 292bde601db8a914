"""The directions of imports, read from the code itself."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("configs", "model", "streamer", "tracking")
GROUPS = {f"configs.groups.{name}" for name in ("base", "source", "detector", "tracker", "output")}
"""What the schema is made of: to be imported from there."""
LEAVES = {
    "configs.load",
    "configs.schema",
    "streamer.types",
    "streamer.protocols",
    "streamer.intensity",
    "streamer.redact",
}

COMMANDS_THAT_WIRE = {"model.training.pack"}
"""Beside run_stream.py: packing reads clips through the sources, as a stream would."""


def files_of(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def resolves(name: str) -> bool:
    """Whether a dotted name is a module or package of ours, rather than something in one."""
    base = ROOT.joinpath(*name.split("."))
    return base.with_suffix(".py").is_file() or (base / "__init__.py").is_file()


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            module = node.module or ""
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield inner if resolves(inner) else module


def top(module: str) -> str:
    return module.partition(".")[0]


def is_ours(module: str) -> bool:
    return top(module) in ROOMS or module == "run_stream"


def test_the_walk_sees_imports_inside_functions_and_of_submodules(tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text("def f():\n    import torch.nn\nfrom streamer import types\n")
    assert set(imports_of(file)) == {"torch.nn", "streamer.types"}


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_leaves_import_nothing_of_ours_besides_leaves(leaf: str) -> None:
    path = ROOT.joinpath(*leaf.split(".")).with_suffix(".py")
    assert {name for name in imports_of(path) if is_ours(name)} <= LEAVES | GROUPS


def test_the_groups_of_the_schema_import_one_another_alone_and_come_through_it() -> None:
    for path in files_of(*ROOMS):
        ours = {name for name in imports_of(path) if is_ours(name)}
        if module_of(path) in GROUPS:
            assert ours <= GROUPS
        elif module_of(path) != "configs.schema":
            assert not ours & GROUPS, f"{module_of(path)}: import from configs.schema"


@pytest.mark.parametrize("room", ["model", "tracking"])
def test_model_and_tracking_import_only_leaves_and_themselves(room: str) -> None:
    for path in files_of(room):
        if module_of(path) in COMMANDS_THAT_WIRE:
            continue
        foreign = {name for name in imports_of(path) if is_ours(name) and top(name) != room}
        assert foreign <= LEAVES, f"{module_of(path)} imports {sorted(foreign - LEAVES)}"


def test_torch_appears_only_in_model() -> None:
    for path in [*files_of("configs", "streamer", "tracking"), ROOT / "run_stream.py"]:
        assert "torch" not in {top(name) for name in imports_of(path)}, module_of(path)


def test_pyav_appears_only_in_sources_and_sinks() -> None:
    for path in [*files_of(*ROOMS), ROOT / "run_stream.py"]:
        if not module_of(path).startswith(("streamer.sources", "streamer.sinks")):
            assert "av" not in {top(name) for name in imports_of(path)}, module_of(path)


@pytest.mark.parametrize(
    "command", ["model.train", "model.evaluate", "model.training.mine", "model.training.release"]
)
def test_trainings_and_evaluations_run_where_pyav_is_missing(command: str) -> None:
    waiting, reached = [command], set[str]()
    while waiting:
        module = waiting.pop()
        reached.add(module)
        if is_ours(module) and resolves(module):
            path = ROOT.joinpath(*module.split("."))
            file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path
            waiting += {*imports_of(file if file.is_file() else path / "__init__.py")} - reached
    assert "torch" in reached
    assert "av" not in {top(name) for name in reached}


@pytest.mark.parametrize("part", ["pipeline", "lane", "reader", "detection", "channel", "stats"])
def test_the_pipeline_knows_only_protocols(part: str) -> None:
    concrete = ("model", "tracking", "streamer.sources", "streamer.sinks", "streamer.overlay")
    for name in imports_of(ROOT / "streamer" / f"{part}.py"):
        assert not any(name == each or name.startswith(f"{each}.") for each in concrete), name


def test_only_the_command_wires_everything() -> None:
    for path in files_of(*ROOMS):
        assert "run_stream" not in set(imports_of(path)), module_of(path)


def test_what_is_imported_is_declared_or_ours_or_the_standard_library() -> None:
    declared = {
        "av", "cv2", "filterpy", "numpy", "openvino", "pydantic", "pydantic_core",
        "annotated_types", "rich", "safetensors", "scipy", "torch", "yaml",
        "cuda",  # comes with PyTorch's builds for CUDA, and is needed with those alone
    }  # fmt: skip
    known = declared | set(sys.stdlib_module_names)
    for path in [*files_of(*ROOMS), ROOT / "run_stream.py"]:
        foreign = {top(name) for name in imports_of(path) if not is_ours(name)} - known
        assert not foreign, f"{module_of(path)} imports {sorted(foreign)}"


@pytest.mark.parametrize("pattern", ["*.py", "*.yaml", "*.md", "Makefile", "pyproject.toml"])
def test_no_file_names_a_folder_of_somebodys_machine(pattern: str) -> None:
    homes = ["/" + "home/", "/" + "root/", "/" + "Users/", "/" + "work/"]
    rooms = [*ROOMS, "tests", "docs", "benchmarks"]
    paths = [*ROOT.glob(pattern), *(p for room in rooms for p in (ROOT / room).rglob(pattern))]
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert not [home for home in homes if home in text], path
