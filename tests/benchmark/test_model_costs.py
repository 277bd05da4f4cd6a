"""Costs of models against numbers worked out by hand, for every registered model."""

from __future__ import annotations

import pytest

from mfas.benchmark.model_costs import model_cost, operations
from mfas.core import Batch, Modality
from mfas.models import registry
from mfas.models.contract import Maps
from mfas.models.vit_shared import SharedVit, VitOptions
from toys import SPEC, TINY_VIT, Micro, tiny_architecture


def test_operations_are_those_counted_by_hand() -> None:
    class Trunk(Micro):
        def __init__(self) -> None:
            super().__init__()
            self.vit = SharedVit(SPEC, VitOptions.model_validate(TINY_VIT))

        def lower(self, batch: Batch) -> Maps:
            self.vit(batch.images[Modality.IR], Modality.IR)
            return super().lower(batch)

    tokens, dim, depth = 17, 24, 3
    shrink = 2 * 2 * 32**3
    patches = 2 * 16 * 64 * dim
    attention = 2 * 2 * tokens**2 * dim
    block = 2 * tokens * dim * dim * (3 + 1 + 4 + 4) + attention
    assert operations(Trunk(), SPEC) == shrink + patches + depth * block


@pytest.mark.parametrize("name", registry.names())
def test_costs_of_every_model(name: str) -> None:
    cost = model_cost(name, SPEC, tiny_architecture(name), batch=2, passes=1)
    model = registry.create(name, SPEC, tiny_architecture(name))
    still = {id(p) for part in model.frozen_modules() for p in part.parameters()}
    assert cost.parameters == sum(p.numel() for p in model.parameters())
    assert cost.trainable == sum(p.numel() for p in model.parameters() if id(p) not in still) > 0
    assert cost.flops > 0
    assert cost.captures_per_second > 0
