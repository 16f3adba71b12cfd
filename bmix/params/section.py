"""What the sections of params.yaml are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0, le=1)]
Place = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]


def one_of(names: Iterable[str], fits: Callable[[str], bool] | None = None) -> AfterValidator:
    """A text that is one of `names`, or for which `fits` holds."""
    known = list(names)

    def check(value: str) -> str:
        if not (fits(value) if fits else value in known):
            # pydantic fills braces in.
            raise PydanticCustomError("choice", "one of {names}", {"names": ", ".join(known)})
        return value

    return AfterValidator(check)


def _cut(value: Any) -> Any:
    if value != "auto" and (type(value) is not int or value < 1):
        raise PydanticCustomError("cut", "auto, or a whole number from 1")
    return value


Cut = Annotated[Any, AfterValidator(_cut)]


class Section(BaseModel):
    """A section of params.yaml: immutable, no key beyond the declared ones, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
