"""The one place where numba is touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from mfas.errors import MissingExtraError

try:
    import numba
except ImportError:  # pragma: no cover - exercised where the extra is absent
    raise MissingExtraError("the capture simulator", "train") from None

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile ``function`` with numba in no-python mode, cached on disk."""
    return cast(
        F,
        numba.njit(cache=True, nogil=True, fastmath={"contract", "arcp", "nsz", "afn"}, error_model="numpy")(function),
    )
