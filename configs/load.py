"""From a preset or a YAML file, with ``a.b=value`` on top, to validated settings."""

from __future__ import annotations

import difflib
import json
import math
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

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(printable(each) for each in problems))


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
    for each in overrides:
        _apply(values, each)
    try:
        return StreamSettings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(*dict.fromkeys(map(_explain, error.errors()))) from None


def printable(text: str) -> str:
    """A message in which nothing that was read from a file breaks the line or steers a terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def override(key: str, value: str | float | bool) -> str:
    """``key=value`` as :func:`load_settings` takes it, for any value."""
    if not isinstance(value, str):
        return f"{key}={json.dumps(value)}"
    # In quotes, or a weight named 1e3 would be a number; on one line, for it is an argument.
    text: str = yaml.safe_dump(value, default_style='"', allow_unicode=True, width=math.inf)
    return f"{key}={text.strip()}"


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


def _apply(values: dict[str, Any], given: str) -> None:
    key, equals, text = given.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        # Not "KEY=VALUE": what looks like a secret parameter is hidden before it is shown.
        raise SettingsError(
            f"--set {given}: expected a key and its value, such as --set detector.threshold=0.6"
        )
    try:
        value = _parse(text)
    except _YamlError as error:
        raise SettingsError(f"--set {given}: the value is not YAML: {error}") from None
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
        return f"unknown setting {path}{_nearest(path, _keys_and_groups())}"
    shown = repr(given)
    if len(shown) > 60:
        # Never in the middle of an address: its password could not be found and hidden any more.
        shown = shown[:57].partition("://")[0] + "..."
    allowed = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "model_type":
        inner = [key.removeprefix(f"{path}.") for key in setting_keys() if key.startswith(path)]
        names = dict.fromkeys(key.partition(".")[0] for key in inner)
        allowed = f"it is a group of settings: {', '.join(names)}"
    elif problem["type"] == "tuple_type":
        allowed = "it should be a list"
    if isinstance(given, BaseModel) or not path:
        return f"{path or 'settings'}: {allowed}"
    return f"{path}={shown} is refused: {allowed[0].lower()}{allowed[1:]}"


def _keys_and_groups() -> list[str]:
    keys = list(setting_keys())
    groups = [
        ".".join(key.split(".")[:depth]) for key in keys for depth in range(1, key.count(".") + 1)
    ]
    return list(dict.fromkeys([*groups, *keys]))


def _nearest(name: str, known: list[str]) -> str:
    """The known key whose last part is most like the name's; one of the same group before others.

    Only last parts are compared: a group's name that both share would make everything alike.
    """
    group, _, leaf = name.rpartition(".")
    beside = [key for key in known if key.rpartition(".")[0] == group]
    for keys in (beside, known):
        leaves = {key.rpartition(".")[2]: key for key in reversed(keys)}
        if near := difflib.get_close_matches(leaf, list(leaves), n=1):
            return f"; did you mean {leaves[near[0]]}?"
    return ""
