"""Optional dependencies: a verb whose extra is missing says so in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mfas.errors import MissingExtraError

EXTRA_OF = {
    "torch": "train",
    "lightning_fabric": "train",
    "kornia": "train",
    "safetensors": "train",
    "numba": "train",
    "ray": "ray",
    "transformers": "pretrained",
    "onnx": "export",
    "onnxscript": "export",
    "h5py": "hdf5",
    "captum": "audit",
    "cma": "audit",
    "h11": "service",
    "alembic": "service",
    "fastapi": "service",
    "httpx": "service",
    "itsdangerous": "service",
    "prometheus_client": "service",
    "psycopg": "service",
    "python_multipart": "service",
    "sqlalchemy": "service",
    "starlette": "service",
    "uvicorn": "service",
}
"""Importable top-level module to the extra that brings it."""


@contextmanager
def needs(feature: str) -> Iterator[None]:
    """Turn the import error of an optional dependency into `MissingExtraError`; others pass through."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRA_OF:
            raise
        raise MissingExtraError(feature, EXTRA_OF[missing]) from None
