"""Which parameters a method may move, by name; chosen from the model's own structure, never by literal module names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from torch import nn

from mfas.core import MODALITIES
from mfas.errors import ConfigError
from mfas.models.contract import FasModel

Surface = Literal["norm", "upper"]
"""``norm``: scale and shift of the normalisation layers of the upper parts; ``upper``: everything there."""

_NORMS = (nn.GroupNorm, nn.LayerNorm)


def surface_names(model: FasModel, surface: Surface, extra: Iterable[str] = ()) -> frozenset[str]:
    """Parameter names of a surface over all modalities, plus the modules named in ``extra`` (``fused``, …).

    Raises `ConfigError` when the model has nothing there, rather than adapting nothing in silence.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    chosen: set[str] = set()
    for modality in MODALITIES:
        for root in model.upper_modules(modality):
            for module in root.modules():
                if surface == "upper" or isinstance(module, _NORMS):
                    chosen.update(names[id(p)] for p in module.parameters(recurse=False))
    if not chosen:
        raise ConfigError(f"model '{model.name}' has no parameters on the surface '{surface}'")
    for part in extra:
        found = {name for name in names.values() if name == part or name.startswith(f"{part}.")}
        if not found:
            raise ConfigError(f"model '{model.name}' has no layer '{part}' to adapt")
        chosen |= found
    return frozenset(chosen)


def norm_names(model: FasModel) -> frozenset[str]:
    """Scale and shift of every normalisation layer of the model, lower parts and extractors included."""
    chosen = {
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        if isinstance(module, _NORMS)
        for name, _ in module.named_parameters(recurse=False)
    }
    if not chosen:
        raise ConfigError(f"model '{model.name}' has no normalisation layer to adapt")
    return frozenset(chosen)


@contextmanager
def contiguous_norms(model: FasModel) -> Iterator[None]:
    """Inside, GroupNorm sees contiguous maps: its backward pass on small channels-last maps crashes torch 2.13."""

    def contiguous(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (inputs[0].contiguous(), *inputs[1:])

    hooks = [m.register_forward_pre_hook(contiguous) for m in model.modules() if isinstance(m, nn.GroupNorm)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
