"""What every model costs: parameters, operations per capture, captures per second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mfas.card import Preprocess
from mfas.core import MODALITIES, Batch, CaptureIds
from mfas.models.contract import FasModel
from mfas.models.registry import create


@dataclass(frozen=True, slots=True)
class ModelCost:
    """Costs of one model; operations are floating point ones of `predict` on a capture with all three sensors.

    A multiplication and an addition are two. Only products of matrices and convolutions are counted, as torch does.
    """

    model: str
    parameters: int
    trainable: int
    flops: int
    captures_per_second: float


def model_cost(
    name: str, preprocess: Preprocess, architecture: Mapping[str, Any] | None = None, batch: int = 32, passes: int = 5
) -> ModelCost:
    """Measure an untrained model; speed is the median over ``passes`` of `predict` on ``batch`` captures, after one."""
    torch.manual_seed(0)
    model = create(name, preprocess, architecture).eval()
    many = _noise(preprocess, batch)
    model.predict(many)
    seconds = []
    for _ in range(passes):
        start = perf_counter()
        model.predict(many)
        seconds.append(perf_counter() - start)
    return ModelCost(
        model=name,
        parameters=sum(p.numel() for p in model.parameters()),
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        flops=operations(model, preprocess),
        captures_per_second=batch / median(seconds),
    )


def operations(model: FasModel, preprocess: Preprocess) -> int:
    """Floating point operations of one capture with all sensors."""
    # the fused attention kernels of the CPU are not in torch's table; the plain one is made of products that are
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model.predict(_noise(preprocess, 1))
    return int(counter.get_total_flops())


def _noise(preprocess: Preprocess, count: int) -> Batch:
    generator, size = torch.Generator().manual_seed(0), preprocess.size
    images = {m: torch.randn(count, preprocess.channels(m), size, size, generator=generator) for m in MODALITIES}
    return Batch(images, torch.ones(count, len(MODALITIES), dtype=torch.bool), CaptureIds.anonymous(count))
