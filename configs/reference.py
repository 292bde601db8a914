"""The reference of every setting as a page of Markdown, rendered from the schema alone."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from annotated_types import Ge, Gt, Interval, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from configs.schema import StreamSettings

_TITLE = "# Settings"
_INTRO = (
    "Every key as `--set KEY=VALUE` takes it; in a YAML file the dots are nesting. "
    "This page is written by `python -m configs`."
)
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_NAMES: Mapping[Any, str] = {
    bool: "true or false", int: "integer", float: "number", str: "text", type(None): "null"
}  # fmt: skip


def render_reference() -> str:
    """The whole page, with a table for each group of settings."""
    lines = [_TITLE, "", _INTRO]
    for prefix, model in _groups(StreamSettings, ""):
        rows = list(_rows(prefix, model))
        if not rows:
            continue
        lines += ["", f"## {prefix.rstrip('.')}", "", (model.__doc__ or "").strip(), ""]
        lines += ["| key | allowed | default | what |", "| --- | --- | --- | --- |", *rows]
    return "\n".join(lines) + "\n"


def _groups(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield prefix, model
    for name, field in model.model_fields.items():
        inner = field.annotation
        if _is_group(inner):
            yield from _groups(inner, f"{prefix}{name}.")


def _rows(prefix: str, model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if not _is_group(field.annotation):
            what = (field.description or "").replace("|", "\\|")
            cells = (f"`{prefix}{name}`", _allowed(field), f"`{_default(field)}`", what)
            yield f"| {' | '.join(cells)} |"


def _is_group(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _allowed(field: FieldInfo) -> str:
    text, limits = _type_text(field.annotation), _limits(field.metadata)
    kind, null, _ = text.partition(" or null")
    return f"{kind}{limits}{null}"


def _type_text(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        metadata: list[Any] = []
        for each in arguments[1:]:
            metadata += each.metadata if isinstance(each, FieldInfo) else [each]
        return _type_text(arguments[0]) + _limits(metadata)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_text(each) for each in arguments)
    if origin is tuple:
        return "list"
    return _NAMES.get(annotation, "path")


def _limits(metadata: list[Any]) -> str:
    """Bounds as `` >= 0, < 1``; a pattern is left to the description."""
    found = []
    for each in metadata:
        if isinstance(each, (Gt, Ge, Lt, Le, Interval)):
            for attribute, sign in _SIGNS.items():
                bound = getattr(each, attribute, None)
                if bound is not None:
                    found.append(f"{sign} {bound:g}")
    return f" {', '.join(found)}" if found else ""


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, (bool, int, float, tuple)) or value is None:
        return json.dumps(value)
    return str(value)
