"""Multi-modal face anti-spoofing that adapts safely where it is deployed.

The names below are all of the public surface; each is imported when it is first used, so that ``import mfas`` costs
nothing and needs no optional dependency.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfas.adaptation.contract import Adapter, StepReport
    from mfas.adaptation.registry import create as create_adapter
    from mfas.card import Card, Preprocess
    from mfas.core import MODALITIES, Batch, CaptureIds, Label, Modality, Outcome, Prediction
    from mfas.data.manifest import Manifest, read_manifest, write_manifest
    from mfas.data.scores import ScoreTable, read_scores, write_scores
    from mfas.errors import (
        ConfigError,
        ImageError,
        InputError,
        ManifestError,
        MfasError,
        MissingExtraError,
        ModelDirError,
        ScoreError,
        StateError,
    )
    from mfas.export.predictor import OnnxPredictor
    from mfas.metrics.summary import Metrics, evaluate
    from mfas.models.registry import create as create_model
    from mfas.models.store import load_default, load_model, save_model
    from mfas.simulation.simulate import simulate
    from mfas.simulation.site import load_site

__all__ = [
    "MODALITIES",
    "Adapter",
    "Batch",
    "CaptureIds",
    "Card",
    "ConfigError",
    "ImageError",
    "InputError",
    "Label",
    "Manifest",
    "ManifestError",
    "Metrics",
    "MfasError",
    "MissingExtraError",
    "Modality",
    "ModelDirError",
    "OnnxPredictor",
    "Outcome",
    "Prediction",
    "Preprocess",
    "ScoreError",
    "ScoreTable",
    "StateError",
    "StepReport",
    "create_adapter",
    "create_model",
    "evaluate",
    "load_default",
    "load_model",
    "load_site",
    "read_manifest",
    "read_scores",
    "save_model",
    "simulate",
    "write_manifest",
    "write_scores",
]

_HOMES = {
    "adaptation.contract": ("Adapter", "StepReport"),
    "card": ("Card", "Preprocess"),
    "core": ("MODALITIES", "Batch", "CaptureIds", "Label", "Modality", "Outcome", "Prediction"),
    "data.manifest": ("Manifest", "read_manifest", "write_manifest"),
    "data.scores": ("ScoreTable", "read_scores", "write_scores"),
    "export.predictor": ("OnnxPredictor",),
    "metrics.summary": ("Metrics", "evaluate"),
    "models.store": ("load_default", "load_model", "save_model"),
    "simulation.simulate": ("simulate",),
    "simulation.site": ("load_site",),
}
_MODULES = {name: f"mfas.{module}" for module, names in _HOMES.items() for name in names}
_RENAMED = {"create_adapter": "mfas.adaptation.registry", "create_model": "mfas.models.registry"}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'mfas' has no attribute '{name}'")
    from mfas._extras import needs

    with needs(f"mfas.{name}"):
        if name in _RENAMED:
            value = import_module(_RENAMED[name]).create
        else:
            value = getattr(import_module(_MODULES.get(name, "mfas.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
