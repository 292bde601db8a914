"""What every group of settings shares."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Point = tuple[float, float]
Rectangle = tuple[float, float, float, float]


def _switch(value: object) -> object:
    """YAML reads a bare ``on`` or ``off`` as a truth value: take it for the word it was."""
    return ("off", "on")[value] if isinstance(value, bool) else value


Switch = Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)]


class Settings(BaseModel):
    """What every group of settings shares: unknown keys are refused, values do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )
