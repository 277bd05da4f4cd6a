"""Streams with captures made to be learnt from: every variant runs, counts are right, the model comes back."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mfas.adaptation import registry
from mfas.adaptation.contract import StepReport
from mfas.adaptation.registry import parse_settings
from mfas.adaptation.source import Source
from mfas.audit.kinds import PerturbSettings, perturb
from mfas.audit.poisoning import Variant, after_stream, variants
from mfas.audit.space import Budgets
from mfas.audit.victim import Victim
from mfas.core import Batch, Label, Modality, Prediction
from toys import batch, labelled, target_of
from victims import Linear, planted, toy_victim

VICTIM = toy_victim("mfas_danet")
PROBE = labelled([batch(16, seed=80)], [target_of(16)])
CANARY = labelled([batch(8, seed=70)], [target_of(8)])
WIDE = PerturbSettings(steps=12, restarts=1, budget=Budgets(rgb=100, depth=100, ir=100))
BY_NAME = {variant.name: variant for variant in variants()}


def stream(count: int = 4) -> list[Batch]:
    return [batch(8, seed=20 + i, first=8 * i) for i in range(count)]


def poisoned(count: int = 4, victim: Victim = VICTIM, kind: str = "pseudo_label") -> tuple[list[Batch], frozenset[str]]:
    """The same stream; every attack is perturbed so as to be taken for a living face."""
    out, names = [], set()
    for some in stream(count):
        some.images[Modality.DEPTH][:, 1] = 1.0
        rows = (target_of(8) < 0.5).nonzero().flatten()
        found = perturb(victim, some.select(rows), kind, WIDE).batch
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


class Gullible(Source):
    """Moves the bias by the surplus of captures that look alive to it, and says that it was taught by each of those."""

    adapted_parameters = frozenset({"bias"})

    def step(self, batch: Batch) -> tuple[Prediction, StepReport]:
        prediction, report = super().step(batch)
        live = [name for name, one in zip(batch.ids.capture_id, prediction.score, strict=True) if one >= 0.5]
        with torch.no_grad():
            self.model.bias.add_(2.0 * len(live) - len(batch))
        labels = (Label.BONA_FIDE.value,) * len(live)
        changes = {"accepted_ids": tuple(live), "pseudo_labels": labels, "updated": True, "skipped_reason": None}
        return prediction, replace(report, **changes)


def test_poison_that_works_is_seen_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """From half faces, half attacks the method learns nothing; from attacks that look alive it learns to let all in."""
    registry.names()
    monkeypatch.setattr(registry, "_METHODS", {**registry._METHODS, "gullible": Gullible})
    victim = planted(Linear())
    learner = Variant("gullible", "gullible", {})
    hostile, names = poisoned(4, victim, "all")
    calm = after_stream(victim.model, victim.card, learner, stream(4), frozenset(), PROBE)
    assert (calm.apcer, calm.bpcer, calm.taught, calm.updates) == (0.0, 0.0, 0, 4)
    found = after_stream(victim.model, victim.card, learner, hostile, names, PROBE)
    assert (found.perturbed, found.taught) == (16, 16)
    assert (found.apcer, found.apcer_max, found.bpcer) == (1.0, 1.0, 0.0)
    assert float(victim.model.bias.detach()) == 0.0


@pytest.mark.parametrize("name", ["as shipped, canary", "no protection, canary", "tent", "tent, canary"])
def test_guarded_variants_run(name: str) -> None:
    found = after_stream(VICTIM.model, VICTIM.card, BY_NAME[name], stream(2), frozenset(), PROBE, CANARY)
    assert 0 <= found.apcer <= found.apcer_max <= 1
    assert 0 <= found.bpcer <= 1
