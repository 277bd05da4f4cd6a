"""Streams with captures made to be learnt from: every variant runs, counts are right, the model comes back."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mfas.adaptation.registry import parse_settings
from mfas.audit.kinds import PerturbSettings, perturb
from mfas.audit.poisoning import after_stream, variants
from mfas.audit.space import Budgets
from mfas.core import Batch, Modality
from toys import batch, labelled, target_of
from victims import toy_victim

VICTIM = toy_victim("mfas_danet")
PROBE = labelled([batch(16, seed=80)], [target_of(16)])
CANARY = labelled([batch(8, seed=70)], [target_of(8)])
WIDE = PerturbSettings(steps=12, restarts=1, budget=Budgets(rgb=100, depth=100, ir=100))
BY_NAME = {variant.name: variant for variant in variants()}


def stream(count: int = 4) -> list[Batch]:
    return [batch(8, seed=20 + i, first=8 * i) for i in range(count)]


def poisoned(count: int = 4) -> tuple[list[Batch], frozenset[str]]:
    """The same stream; every attack is perturbed so as to be taught as living."""
    out, names = [], set()
    for some in stream(count):
        some.images[Modality.DEPTH][:, 1] = 1.0
        rows = (target_of(8) < 0.5).nonzero().flatten()
        found = perturb(VICTIM, some.select(rows), "pseudo_label", WIDE).batch
        images = {m: x.clone().index_copy_(0, rows, found.images[m]) for m, x in some.images.items()}
        out.append(replace(some, images=images))
        names |= set(found.ids.capture_id)
    return out, frozenset(names)


def test_every_variant_is_a_method_with_settings() -> None:
    assert len({variant.name for variant in variants()}) == len(variants())
    for variant in variants():
        parse_settings(variant.method, variant.settings)
    assert not any("canary" in variant.method for variant in variants(canary=False))


def test_counts_and_that_the_model_comes_back() -> None:
    before = {name: value.clone() for name, value in VICTIM.model.state_dict().items()}
    shown, names = poisoned()
    found = after_stream(VICTIM.model, VICTIM.card, BY_NAME["no protection"], shown, names, PROBE, CANARY)
    assert found.perturbed == 16
    assert 0 < found.taught <= 16
    assert found.drift > 0
    assert all(torch.equal(value, before[name]) for name, value in VICTIM.model.state_dict().items())
    calm = after_stream(VICTIM.model, VICTIM.card, BY_NAME["as shipped"], stream(), frozenset(), PROBE, CANARY)
    assert (calm.perturbed, calm.taught) == (0, 0)


def test_poison_does_what_a_table_is_to_show() -> None:
    """Without protection clean attacks get in after a poisoned stream, and not after the same stream unperturbed."""
    shown, names = poisoned(12)
    free = BY_NAME["no protection"]
    hot = replace(free, settings={**free.settings, "learning_rate": 0.3, "update_every": 8})
    calm = after_stream(VICTIM.model, VICTIM.card, hot, stream(12), frozenset(), PROBE)
    hostile = after_stream(VICTIM.model, VICTIM.card, hot, shown, names, PROBE)
    assert calm.updates > 0
    assert hostile.updates > 0
    assert hostile.taught > 0
    assert hostile.apcer + hostile.bpcer >= calm.apcer + calm.bpcer
    held = after_stream(
        VICTIM.model,
        VICTIM.card,
        replace(hot, method="mfas_danet+anchor", settings={"mfas_danet": hot.settings, "anchor": {"radius": 0.001}}),
        shown,
        names,
        PROBE,
    )
    assert held.drift <= 0.0011
    assert held.apcer <= hostile.apcer


@pytest.mark.parametrize("name", ["as shipped, canary", "no protection, canary", "tent"])
def test_guarded_variants_run(name: str) -> None:
    found = after_stream(VICTIM.model, VICTIM.card, BY_NAME[name], stream(2), frozenset(), PROBE, CANARY)
    assert 0 <= found.apcer <= found.apcer_max <= 1
    assert 0 <= found.bpcer <= 1
