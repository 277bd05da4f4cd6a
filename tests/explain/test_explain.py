"""Explanations of models whose answer is known, of every registered model, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from explained import DEPTH, IR, NOTHING, RGB, Planted, levels
from mfas.core import MODALITIES, Batch, CaptureIds, format_modalities
from mfas.errors import InputError
from mfas.explain.empty import source_mean, zero_maps
from mfas.explain.explain import Explanation, explain, synergy
from mfas.explain.record import Attribution
from mfas.explain.settings import ExplainSettings
from mfas.models.contract import FasModel
from mfas.models.registry import names
from toys import batch, every_pattern, tiny_model

QUICK = ExplainSettings(steps=4, draws=2, deletion_steps=3, random_orders=2)


def made(model: FasModel, some: Batch, **settings: object) -> Explanation:
    return explain(model, some, NOTHING, accepted=True, settings=QUICK.model_copy(update=settings))


def test_a_model_that_looks_at_infrared_only_is_explained_by_infrared_only() -> None:
    found = made(Planted({IR: 3.0}), levels(0.7, -0.4, 0.9))
    record = found.record
    assert record.phi == pytest.approx({RGB: 0.0, DEPTH: 0.0, IR: 2.7}, abs=1e-6)
    assert record.interactions == pytest.approx(dict.fromkeys(record.interactions, 0.0), abs=1e-6)
    assert all(value == 0.0 for row in record.influence.values() for value in row.values())
    assert record.synergy.top is IR
    assert record.synergy.drop == pytest.approx(2.7, abs=1e-5)
    assert not found.maps[RGB].any()
    assert not found.maps[DEPTH].any()
    assert found.maps[IR][:4, :4].min() > 0
    assert not found.maps[IR][4:].any()


def test_a_linear_model_gives_each_modality_its_weight_times_its_level() -> None:
    record = made(Planted({RGB: 2.0, DEPTH: -1.0, IR: 0.5}), levels(0.5, 1.0, 2.0)).record
    assert record.phi == pytest.approx({RGB: 1.0, DEPTH: -1.0, IR: 1.0}, abs=1e-6)
    assert record.values[frozenset({RGB, IR})] == pytest.approx(0.25 + 2.0)
    assert max(value for row in record.influence.values() for value in row.values()) < 1e-6
    assert record.absent == "as_missing"


def test_a_product_is_shared_and_its_factors_hold_each_others_map() -> None:
    record = made(Planted({}, joint=4.0), levels(1.0, 1.0, 0.5)).record
    assert record.phi == pytest.approx({RGB: 1.0, DEPTH: 0.0, IR: 1.0}, abs=1e-6)
    assert record.interactions == pytest.approx({(RGB, DEPTH): 0.0, (RGB, IR): 2.0, (DEPTH, IR): 0.0}, abs=1e-6)
    assert record.influence[RGB][IR] == record.influence[IR][RGB] == 1.0
    assert record.influence[DEPTH][RGB] == pytest.approx(0.0, abs=1e-6)


def test_a_linear_model_is_as_stable_as_its_value() -> None:
    """All that moves is infrared's share, by as much as the value."""
    moved = made(Planted({IR: 3.0}), levels(0.0, 0.0, 1.0), draws=20).record.stability
    assert moved.change == pytest.approx(moved.shift, rel=1e-4)
    assert 0 < moved.ratio < 1
    assert moved.shift < 3 * 0.02  # the noise of a mean over 144 pixels is far below that of one


@pytest.mark.parametrize("name", names())
def test_the_parts_of_every_model_add_up(name: str) -> None:
    model, some = tiny_model(name), batch(1)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    record = explain(model, some, zero_maps(model), accepted=False, settings=QUICK).record
    assert record.synergy.gap < 1e-5
    total = float(model(some).logit[0].detach()) - record.empty.logit
    assert sum(record.phi.values()) == pytest.approx(total, abs=1e-5)
    assert all(0 <= value <= 1 for row in record.influence.values() for value in row.values())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("present", every_pattern(), ids=lambda p: "".join(str(int(x)) for x in p))
def test_any_subset_is_explained_and_the_rest_is_substituted(present: torch.Tensor) -> None:
    record = made(tiny_model(), batch(1, present=present[None])).record
    here = [m for m, seen in zip(MODALITIES, present.tolist(), strict=True) if seen]
    assert list(record.phi) == here
    assert set(record.influence) == (set(here) if len(here) > 1 else set())
    assert record.synergy.gap < 1e-5
    assert record.absent == "complements"


def test_what_stands_in_is_said() -> None:
    assert made(tiny_model("late_fusion"), batch(1)).record.absent == "as_missing"
    assert made(tiny_model("ctnet"), batch(1)).record.absent == "some_complements"


def test_a_coalition_is_what_the_model_says_of_fewer_sensors() -> None:
    model, some = tiny_model(), batch(1)
    record = made(model, some).record
    fewer = model(some.impose([DEPTH])).logit
    assert record.values[frozenset({RGB, IR})] == pytest.approx(float(fewer.detach()), abs=1e-5)


@pytest.mark.parametrize("saliency", ["integrated_gradients", "input_x_gradient", "gradient"])
def test_the_same_seed_gives_the_same_explanation(saliency: str) -> None:
    model, some = tiny_model(), batch(1)
    settings = QUICK.model_copy(update={"saliency": saliency})
    runs = [explain(model, some, NOTHING, accepted=True, settings=settings, seed=seed) for seed in (3, 3, 4)]
    assert runs[0].record == runs[1].record
    assert runs[0].record.stability != runs[2].record.stability
    assert runs[0].record.phi == runs[2].record.phi
    assert all((runs[0].maps[m] == runs[1].maps[m]).all() for m in MODALITIES)


def test_the_record_survives_json() -> None:
    record = made(tiny_model(), batch(1)).record
    kept = json.loads(json.dumps(record.to_dict(), allow_nan=False))
    assert kept["schema"] == 1
    assert kept["present"] == "rgb,depth,ir"
    assert set(kept["values"]) == {"", "rgb", "depth", "ir", "rgb,depth", "rgb,ir", "depth,ir", "rgb,depth,ir"}
    assert Attribution.from_dict(kept) == record
    with pytest.raises(InputError, match="schema 1, got 2"):
        Attribution.from_dict({**kept, "schema": 2})
    with pytest.raises(InputError, match="phi"):
        Attribution.from_dict({key: value for key, value in kept.items() if key != "phi"})


def test_the_strongest_witness_is_the_one_for_the_decision_that_was_taken() -> None:
    values = {frozenset(): 0.0, frozenset({RGB}): 3.0, frozenset({IR}): -4.0, frozenset({RGB, IR}): -1.0}
    assert (synergy(values, False).top, synergy(values, False).drop) == (IR, 4.0)
    assert (synergy(values, True).top, synergy(values, True).drop) == (RGB, 3.0)


def test_only_one_capture_with_something_is_explained() -> None:
    model = tiny_model()
    with pytest.raises(InputError, match="one capture to explain, got 2"):
        made(model, batch(2))
    with pytest.raises(InputError, match="at least one modality"):
        made(model, batch(1, present=torch.zeros(1, 3, dtype=torch.bool)))


def test_the_mean_of_sources_is_over_the_captures_that_have_the_modality() -> None:
    model = Planted({RGB: 1.0, DEPTH: 1.0, IR: 1.0}, joint=1.0)
    one, two = levels(1.0, 2.0, 3.0), levels(3.0, 4.0, 5.0).impose([IR])
    two = replace(two, images={m: x * (m is not IR) for m, x in two.images.items()})
    found = source_mean(model, [one, two], ["here"])
    assert found.logit == pytest.approx(0.25 + 2 + 3 + 3 + 2 * 3)
    assert (found.kind, found.captures, found.sources) == ("source_mean", 2, ("here",))
    assert zero_maps(model).logit == pytest.approx(0.25)
    with pytest.raises(InputError, match="got none"):
        source_mean(model, [])


def test_a_modality_that_no_source_has_stays_absent() -> None:
    model = tiny_model("late_fusion")
    some = batch(4, present=torch.tensor([[True, True, False]]).expand(4, 3))
    found = source_mean(model, [some])
    maps = {m: x.mean(dim=0, keepdim=True) for m, x in model.lower(some).items()}
    expected = model.upper(maps, torch.tensor([[True, True, False]])).logit
    assert found.logit == pytest.approx(float(expected.detach()), abs=1e-5)


def test_captures_with_other_sensors_are_not_one_game() -> None:
    from mfas.explain.coalitions import players

    some = batch(2, present=torch.tensor([[True, True, False], [True, False, True]]))
    with pytest.raises(InputError, match="same modalities"):
        players(some)
    assert format_modalities(players(some.select(torch.tensor([1])))) == "rgb,ir"
    with pytest.raises(InputError, match="got none"):
        players(Batch({}, torch.zeros(0, 3, dtype=torch.bool), CaptureIds.anonymous(0)))
