"""From a preset or a YAML file, with ``a.b=value`` on top, to validated settings."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from configs.schema import StreamSettings

PRESET_DIR = Path(__file__).parent
_MAX_BYTES = 1 << 20


class SettingsError(ValueError):
    """Settings that cannot be used: a line for each problem, with its path and what is allowed."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping: one of the two would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.YAMLError(f"key {key!r} is not a name")
            if key in seen:
                raise yaml.YAMLError(f"key {key!r} stands twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


def preset_names() -> list[str]:
    """The presets that come with the program."""
    return sorted(path.stem for path in PRESET_DIR.glob("*.yaml"))


def load_settings(config: str | Path | None, overrides: Sequence[str] = ()) -> StreamSettings:
    """Read, merge and check settings.

    Args:
        config: a preset's name or a YAML file; None: the defaults.
        overrides: ``a.b=value`` each, the value as YAML; later ones win.

    Raises:
        SettingsError: a file cannot be read, a key is unknown or a value is not allowed.
    """
    values = {} if config is None else _read(config)
    for override in overrides:
        _apply(values, override)
    try:
        return StreamSettings.model_validate(values)
    except ValidationError as error:
        lines = dict.fromkeys(_explain(problem) for problem in error.errors())
        raise SettingsError("\n".join(lines)) from None


def setting_keys(model: type[BaseModel] = StreamSettings, prefix: str = "") -> Iterator[str]:
    """Every key there is, as ``--set`` takes it."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from setting_keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _read(config: str | Path) -> dict[str, Any]:
    path = Path(config)
    if path.suffix not in (".yaml", ".yml") and not path.exists():
        path = PRESET_DIR / f"{config}.yaml"
        if not path.is_file():
            near = _nearest(str(config), preset_names())
            raise SettingsError(
                f"no settings {str(config)!r}: neither a YAML file nor one of the presets "
                f"{', '.join(preset_names())}{near}"
            )
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SettingsError(f"{path} is larger than 1 MiB: not a settings file")
        values = _parse(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"cannot read settings {path}: {error.strerror}") from None
    except _YamlError as error:
        raise SettingsError(f"{path} is not a YAML file of settings: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"{path} holds a {type(values).__name__}, expected groups of settings")
    return values


class _YamlError(Exception):
    pass


def _parse(text: bytes | str) -> Any:
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)  # a SafeLoader: builds no objects
    # Beside YAMLError, PyYAML lets a bad number, date or encoding, or a nest too deep, through.
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _YamlError(" ".join(str(error).split())) from None


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise SettingsError(f"--set {override}: expected KEY=VALUE, such as detector.threshold=0.6")
    try:
        value = _parse(text)
    except _YamlError as error:
        raise SettingsError(f"--set {override}: the value is not YAML: {error}") from None
    for part in parts[:-1]:
        inner = values.get(part)
        if not isinstance(inner, dict):
            inner = values[part] = {}
        values = inner
    values[parts[-1]] = value


def _explain(problem: ErrorDetails) -> str:
    """One line: the path, the value, what is allowed, the nearest known key."""
    path = ".".join(str(part) for part in problem["loc"])
    given = problem["input"]
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {path}{_nearest(path, list(setting_keys()))}"
    shown = repr(given)
    if len(shown) > 60:
        shown = shown[:57] + "..."
    allowed = problem["msg"].removeprefix("Value error, ")
    if isinstance(given, BaseModel) or not path:
        return f"{path or 'settings'}: {allowed}"
    return f"{path}={shown} is refused: {allowed[0].lower()}{allowed[1:]}"


def _nearest(name: str, known: list[str]) -> str:
    leaf = name.rsplit(".", 1)[-1]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not near:
        leaves = {key.rsplit(".", 1)[-1]: key for key in known}
        near = [leaves[match] for match in difflib.get_close_matches(leaf, list(leaves), n=1)]
    return f"; did you mean {near[0]}?" if near else ""
