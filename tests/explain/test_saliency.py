"""Maps point at what the model has learnt, cost it its decision when deleted, and forget it with the weights."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from explained import CORNER, IR, NOTHING, Planted, cornered, levels, taught
from mfas.core import MODALITIES, Batch, Modality
from mfas.explain.explain import Explanation, explain
from mfas.explain.saliency import cell_maps, flattened
from mfas.explain.settings import ExplainSettings
from mfas.metrics import auc
from mfas.models.contract import FasModel
from toys import SPEC, target_of

SETTINGS = ExplainSettings(steps=8, draws=1, deletion_steps=4, random_orders=5)


@pytest.fixture(scope="module")
def model() -> FasModel:
    return taught()


@pytest.fixture(scope="module")
def captures() -> Batch:
    return cornered(4, seed=5)


@pytest.fixture(scope="module")
def explained(model: FasModel, captures: Batch) -> list[Explanation]:
    return each(model, captures)


def each(model: FasModel, captures: Batch, **settings: object) -> list[Explanation]:
    chosen = SETTINGS.model_copy(update=settings)
    parts = [captures.select(torch.tensor([i])) for i in range(len(captures))]
    accepted = (model.predict(captures).score >= 0.5).tolist()
    return [explain(model, x, NOTHING, accepted=a, settings=chosen) for x, a in zip(parts, accepted, strict=True)]


def inside(found: Explanation) -> float:
    """Share of the absolute mass of infrared's map in the corner that tells the classes apart."""
    cells = np.abs(found.maps[IR])
    return float(cells[: CORNER // 3, : CORNER // 3].sum() / cells.sum())


def randomised(model: FasModel) -> FasModel:
    """Every layer that can be drawn anew is, as in the sanity checks of Adebayo et al. (NeurIPS 2018)."""
    other = copy.deepcopy(model)
    torch.manual_seed(1)
    for module in other.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()
    return other


def test_the_toy_is_learnt(model: FasModel, captures: Batch) -> None:
    score = model.predict(captures).score.numpy()
    live = target_of(4).numpy() > 0
    assert auc(score[live], {"attack": score[~live]}) == 1.0


@pytest.mark.parametrize("saliency", ["integrated_gradients", "input_x_gradient", "gradient"])
def test_maps_lie_where_the_class_is(saliency: str, model: FasModel, captures: Batch) -> None:
    area = (CORNER / SPEC.size) ** 2
    assert np.mean([inside(one) for one in each(model, captures, saliency=saliency)]) > 2 * area


def test_infrared_carries_the_verdict(explained: list[Explanation]) -> None:
    spread = {m: np.std([one.record.phi[m] for one in explained]) for m in MODALITIES}
    assert spread[IR] > 3 * max(spread[Modality.RGB], spread[Modality.DEPTH])


def test_deletion_in_the_order_of_the_maps_beats_random_orders(explained: list[Explanation]) -> None:
    found = [one.record.deletion for one in explained]
    assert np.mean([d.mapped for d in found]) > np.mean([d.random for d in found]) + 0.5
    assert np.mean([d.beaten for d in found]) > 0.9


def test_maps_forget_with_the_weights(model: FasModel, captures: Batch, explained: list[Explanation]) -> None:
    """A map that stayed where it was would show the picture, not the model."""
    own, other = explained, each(randomised(model), captures)
    kept = np.mean([alike(a, b) for a, b in zip(own, other, strict=True)])
    again = np.mean([alike(a, b) for a, b in zip(own, each(model, captures, steps=16), strict=True)])
    assert again > 0.9
    assert kept < 0.5
    assert np.mean([inside(one) for one in other]) < 0.7 * np.mean([inside(one) for one in own])


def alike(one: Explanation, other: Explanation) -> float:
    """Correlation of the signed maps of infrared."""
    return float(np.corrcoef(one.maps[IR].ravel(), other.maps[IR].ravel())[0, 1])


def test_integrated_gradients_add_up_to_what_flattening_costs(model: FasModel, captures: Batch) -> None:
    """Completeness: the cells of all maps sum to the difference between the capture and the flattened one."""
    some = captures.select(torch.tensor([0]))
    whole = frozenset(MODALITIES)
    maps = cell_maps(model, some, [whole], SETTINGS.model_copy(update={"steps": 200}))[whole]
    flat = Batch({m: flattened(x) for m, x in some.images.items()}, some.present, some.ids)
    cost = float((model(some).logit - model(flat).logit).detach())
    assert sum(float(x.sum()) for x in maps.values()) == pytest.approx(cost, abs=0.02 * max(1.0, abs(cost)))


def test_a_pattern_maps_only_what_is_in_it() -> None:
    pair = frozenset({Modality.RGB, IR})
    maps = cell_maps(Planted({IR: 1.0}), levels(1.0, 1.0, 1.0), [pair, frozenset({IR})], SETTINGS)
    assert set(maps[pair]) == {Modality.RGB, IR}
    assert torch.allclose(maps[pair][IR], maps[frozenset({IR})][IR])
    assert maps[pair][IR].shape == (11, 11)


def test_deleting_what_a_linear_model_looks_at_takes_it_all_at_once() -> None:
    """With 16 of 363 cells telling, they are gone after the first of four shares; by chance a quarter is."""
    found = explain(
        Planted({IR: 3.0}), levels(0.0, 0.0, 1.0), NOTHING, accepted=True,
        settings=ExplainSettings(steps=2, draws=1, deletion_steps=4, random_orders=50),
    ).record.deletion  # fmt: skip
    mean = (CORNER / SPEC.size) ** 2
    assert found.mapped == pytest.approx(3.0 * (1 - mean), abs=0.01)
    assert found.random == pytest.approx(0.5 * 3.0 * (1 - mean), abs=0.1)
    assert found.beaten == 1.0
