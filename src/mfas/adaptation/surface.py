"""Which parameters a method may move, by name; chosen from the model's own structure, never by literal module names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from mfas.adaptation.live import LiveTensors
from mfas.core import MODALITIES, Batch, CaptureIds
from mfas.errors import ConfigError
from mfas.models.contract import FasModel

Surface = Literal["norm", "upper"]
"""``norm``: scale and shift of the normalisation layers of the upper parts; ``upper``: everything there."""

_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.BatchNorm2d)


def surface_names(model: FasModel, surface: Surface, extra: Iterable[str] = ()) -> frozenset[str]:
    """Parameter names of a surface over all modalities, plus the modules named in ``extra`` (``fused``, …).

    Raises `ConfigError` when the model has nothing there, rather than adapting nothing in silence.
    """
    still = frozen_names(model)
    names = {id(p): name for name, p in model.named_parameters() if name not in still}
    chosen: set[str] = set()
    for modality in MODALITIES:
        for root in model.upper_modules(modality):
            for module in root.modules():
                if surface == "upper" or isinstance(module, _NORMS):
                    chosen.update(names[id(p)] for p in module.parameters(recurse=False) if id(p) in names)
    if not chosen:
        raise ConfigError(f"model '{model.name}' has no parameters on the surface '{surface}'")
    for part in extra:
        found = {name for name in names.values() if name == part or name.startswith(f"{part}.")}
        if not found:
            raise ConfigError(f"model '{model.name}' has no layer '{part}' to adapt")
        chosen |= found
    return frozenset(chosen)


def norm_names(model: FasModel) -> frozenset[str]:
    """Scale and shift of every normalisation layer that is not frozen, lower parts and extractors included."""
    norms = (m for m in model.modules() if isinstance(m, _NORMS))
    chosen = parameter_names(model, norms) - frozen_names(model)
    if not chosen:
        raise ConfigError(f"model '{model.name}' has no normalisation layer to adapt")
    return chosen


def lower_norm_names(model: FasModel) -> frozenset[str]:
    """Scale and shift of the normalisation layers that `FasModel.lower` runs, found by running it on blank images."""
    size, ran = model.spec.size, set[nn.Module]()
    blank = {m: torch.zeros(1, model.spec.channels(m), size, size) for m in MODALITIES}
    norms = [m for m in model.modules() if isinstance(m, _NORMS)]
    hooks = [m.register_forward_pre_hook(lambda module, _: ran.add(module)) for m in norms]
    with torch.no_grad():
        model.lower(Batch(blank, torch.ones(1, len(MODALITIES), dtype=torch.bool), CaptureIds.anonymous(1)))
    for hook in hooks:
        hook.remove()
    chosen = parameter_names(model, ran)
    if not chosen:
        raise ConfigError(f"model '{model.name}' has no normalisation layer below its last stage to adapt")
    return chosen


def parameter_names(model: nn.Module, layers: Iterable[nn.Module]) -> frozenset[str]:
    """Names in ``model`` of the parameters that ``layers`` hold themselves."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return frozenset(names[id(p)] for layer in layers for p in layer.parameters(recurse=False))


def fusion_names(model: FasModel) -> frozenset[str]:
    """What `FasModel.fusion_names` declares; `ConfigError` when that is nothing, or nothing of the model's."""
    chosen = frozenset(model.fusion_names())
    own = {name for name, _ in model.named_parameters()}
    if not chosen or not chosen <= own:
        found = ", ".join(sorted(chosen - own)) or "none"
        raise ConfigError(f"expected model '{model.name}' to name its fusion parameters, got {found}")
    return chosen


def upper_names(model: FasModel) -> frozenset[str]:
    """Every parameter that `FasModel.lower` does not use: upper parts, heads, fusion, whatever lies between.

    Found by differentiating the lower maps of one blank capture.
    """
    spec = model.spec
    images = {m: torch.zeros(1, spec.channels(m), spec.size, spec.size) for m in MODALITIES}
    blank = Batch(images, torch.ones(1, len(MODALITIES), dtype=torch.bool), CaptureIds.anonymous(1))
    live = LiveTensors(model, [name for name, _ in model.named_parameters()])
    with live.differentiable():
        total = torch.stack([x.sum() for x in model.lower(blank).values()]).sum()
        if not total.requires_grad:
            return frozenset(live.values)
        slopes = torch.autograd.grad(total, list(live.values.values()), allow_unused=True)
    return frozenset(name for name, slope in zip(live.values, slopes, strict=True) if slope is None)


def frozen_names(model: FasModel) -> frozenset[str]:
    """Parameter names inside `FasModel.frozen_modules`: on no surface."""
    still = {id(p) for module in model.frozen_modules() for p in module.parameters()}
    return frozenset(name for name, p in model.named_parameters() if id(p) in still)


def without_frozen(model: FasModel, surface: frozenset[str]) -> frozenset[str]:
    """``surface`` without `frozen_names`; `ConfigError` where nothing is left."""
    left = surface - frozen_names(model)
    if not left:
        raise ConfigError(f"model '{model.name}' keeps everything frozen that the method would adapt")
    return left


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


def classifier_names(model: FasModel, answer: Literal["logit", "modality_logits"]) -> frozenset[str]:
    """Parameters that ``answer`` of a `ModelOutput` is computed with once features and complements are there.

    Found in the graph of one pass of an all-zero capture, so that a model need not name its layers in any way.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    size = model.spec.size
    images = {m: torch.zeros(1, model.spec.channels(m), size, size) for m in MODALITIES}
    asked = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.requires_grad_(True)
        with torch.enable_grad():
            output = model(Batch(images, torch.ones(1, len(MODALITIES), dtype=torch.bool), CaptureIds.anonymous(1)))
    finally:
        for parameter, before in asked:
            parameter.requires_grad_(before)
    seen: set[Any] = {x.grad_fn for x in (*output.features.values(), *output.complements.values())}
    todo: list[Any] = [getattr(output, answer).grad_fn]
    chosen: set[str] = set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            chosen.add(names[id(node.variable)])
        todo += [following for following, _ in node.next_functions]
    if not chosen:
        raise ConfigError(f"model '{model.name}' has no classifier to adapt")
    return frozenset(chosen)
