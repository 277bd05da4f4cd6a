"""Ranges that a site draws from: pairs, low before high."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

NumberT = TypeVar("NumberT", int, float)


def rising(pair: tuple[NumberT, NumberT]) -> tuple[NumberT, NumberT]:
    """The pair, if its low end comes first; a `ValueError` that pydantic reports with the key's name, if not."""
    if pair[0] > pair[1]:
        raise ValueError(f"expected the low end of the range first, got {list(pair)}")
    return pair


_Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_FromZero = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Percent = Annotated[int, Field(ge=1, le=100)]

Range = Annotated[tuple[_Finite, _Finite], AfterValidator(rising)]
PositiveRange = Annotated[tuple[_Above, _Above], AfterValidator(rising)]
AmountRange = Annotated[tuple[_FromZero, _FromZero], AfterValidator(rising)]
ShareRange = Annotated[tuple[_Share, _Share], AfterValidator(rising)]
PercentRange = Annotated[tuple[_Percent, _Percent], AfterValidator(rising)]
