"""What each kind is after, and that it gets it; that other people's models are fooled less than one's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cosine_similarity

from mfas.audit.kinds import KINDS, PerturbSettings, perturb
from mfas.audit.matrix import CLEAN, measure_matrix, transfer
from mfas.audit.objectives import from_grey, pseudo_label, threshold_logits, to_grey, vote_needed
from mfas.audit.space import Budgets, scale_of
from mfas.audit.strength import measure_strength
from mfas.audit.victim import labelled_live, prototypes
from mfas.core import MISSING_PATTERNS, MODALITIES, Batch, Modality
from toys import SPEC, batch, card
from victims import IR_ONLY, Backdoor, Linear, planted, toy_victim

QUICK = PerturbSettings(steps=6, restarts=1)
WIDE = PerturbSettings(steps=12, restarts=1, budget=Budgets(rgb=100, depth=100, ir=100))


def attacks(count: int = 6, seed: int = 3) -> Batch:
    some = batch(count, seed, target=torch.zeros(count))
    some.images[Modality.DEPTH][:, 1] = 1.0
    return some


def faces(count: int = 8) -> Batch:
    return batch(count, 5, target=torch.ones(count))


@pytest.mark.parametrize("name", list(KINDS))
def test_every_kind_climbs_its_objective_within_its_budget(name: str) -> None:
    victim, shown = toy_victim("mfas_danet"), attacks()
    found = perturb(victim, shown, name, QUICK, prototypes(victim, [faces()]))
    assert float((found.value - found.clean).mean()) > 0
    for modality in MODALITIES:
        moved = (found.batch.images[modality] - shown.images[modality]).abs()
        share = KINDS[name].shares.get(modality, 0.0)
        # toy images may lie outside the valid range, where a pixel may come back by less than its budget
        limit = scale_of(modality, SPEC).full * Budgets().of(modality) * share
        assert bool((moved <= limit + 1e-5).all())
        assert bool((moved > 0).any()) == (share > 0)


def test_through_another_modalitys_network() -> None:
    grey = torch.rand(2, 1, SPEC.size, SPEC.size)
    for modality in MODALITIES:
        image = from_grey(grey, modality, SPEC)
        assert image.shape[1] == SPEC.channels(modality)
        scale = scale_of(modality, SPEC)
        assert bool((image >= scale.low - 1e-5).all())
        assert bool((image <= scale.high + 1e-5).all())
        seen = Batch({modality: image}, torch.ones(2, 3, dtype=torch.bool), batch(2).ids)
        assert torch.allclose(to_grey(seen, modality, SPEC), grey, atol=1e-5)


def test_a_perturbation_through_every_network_works_in_every_network() -> None:
    victim, shown = toy_victim("mfas_danet"), attacks()
    spec = victim.card.preprocess

    def in_slot(some: Batch, slot: Modality) -> float:
        only = torch.zeros_like(some.present)
        only[:, MODALITIES.index(slot)] = True
        image = from_grey(to_grey(some, Modality.RGB, spec), slot, spec)
        with torch.no_grad():
            logits = victim.output(Batch({slot: image}, only, some.ids)).modality_logits
        return float(logits[:, MODALITIES.index(slot)].mean())

    plain, crossed = (perturb(victim, shown, name, WIDE).batch for name in ("rgb", "cross_rgb"))
    for slot in (Modality.DEPTH, Modality.IR):
        assert in_slot(crossed, slot) > in_slot(shown, slot)
        assert in_slot(crossed, slot) > in_slot(plain, slot)


def test_features_are_drawn_to_the_live_prototype() -> None:
    victim, shown = toy_victim("mfas_danet"), attacks()
    live = prototypes(victim, [faces()])

    def nearness(some: Batch) -> float:
        with torch.no_grad():
            features = victim.output(some).features
        return float(torch.stack([cosine_similarity(features[m], live[m][None]).mean() for m in MODALITIES]).mean())

    plain = perturb(victim, shown, "all", QUICK)
    together = perturb(victim, shown, "collaborative", QUICK.model_copy(update={"prototype_weight": 50.0}), live)
    assert nearness(together.batch) > max(nearness(plain.batch), nearness(shown))
    mean = victim.output(faces()).features[Modality.IR].mean(dim=0)
    assert torch.allclose(live[Modality.IR], mean, atol=1e-5)


def test_what_shall_be_taught_as_living_is() -> None:
    victim, shown = toy_victim("mfas_danet"), attacks()
    assert not bool(labelled_live(victim, shown).any())
    found = perturb(victim, shown, "pseudo_label", WIDE)
    assert bool((found.value > 0).any())
    assert bool(labelled_live(victim, found.batch)[found.value > 0].all())
    further = perturb(victim, shown, "unwatched", WIDE)
    above = victim.output(further.batch).logit - threshold_logits(victim.card, further.batch)
    assert bool((above[further.value > 0] > 3.0).all())
    with torch.no_grad():
        easier, harder = (pseudo_label(victim, unwatched=flag)(shown) for flag in (False, True))
    assert bool((harder <= easier).all())


def test_the_vote_needed_by_hand() -> None:
    # entropy 0.2 of ln 2 is p = 0.9689; the minimal vote is 0.8
    assert torch.sigmoid(torch.tensor(vote_needed(card()))).item() == pytest.approx(0.9689, abs=1e-3)


def test_transfer_does_not_beat_the_white_box() -> None:
    mine, theirs = toy_victim("mfas_danet", 0), toy_victim("late_fusion", 1)
    shown = attacks(12)
    made = {v.name: perturb(v, shown, "all", QUICK).batch for v in (mine, theirs)}
    for victim, other in ((mine, theirs), (theirs, mine)):
        with torch.no_grad():
            own, foreign, clean = (
                victim.output(some).logit for some in (made[victim.name], made[other.name], shown)
            )  # fmt: skip
        assert float(own.mean()) >= float(foreign.mean())
        assert float(own.mean()) > float(clean.mean())
        rates = [transfer(victim, [made[name]]).float().mean() for name in (victim.name, other.name)]
        assert rates[0] >= rates[1]


def test_the_matrix_of_a_model_that_looks_at_infrared_alone() -> None:
    victim = planted(Linear(IR_ONLY))
    settings = PerturbSettings(steps=6, restarts=1, budget=Budgets(ir=120))
    found = measure_matrix(victim, [attacks()], ("rgb", "ir", "all"), MISSING_PATTERNS, settings)
    rate = {(cell.kind, cell.missing): float(cell.accepted.double().mean()) for cell in found.cells}
    for missing in MISSING_PATTERNS:
        # without infrared the logit is 0, which the threshold of 0.5 accepts
        clean = float("ir" in missing)
        assert rate[CLEAN, missing] == clean
        assert rate["rgb", missing] == clean
        assert rate["ir", missing] == rate["all", missing] == 1.0
    assert set(found.perturbed) == {"rgb", "ir", "all"}


def test_a_pattern_of_its_own_is_searched_on_its_own() -> None:
    victim, shown = toy_victim("mfas_danet"), [attacks()]
    own = measure_matrix(victim, shown, ("all",), ("", "rgb"), QUICK)
    once = measure_matrix(victim, shown, ("all",), ("", "rgb"), QUICK, every_pattern=False)
    gains = {cell.missing: cell.gain for cell in own.cells if cell.kind == "all"}
    assert gains["rgb"] is not None
    assert gains["rgb"] != gains[""]
    assert [cell.gain for cell in once.cells if cell.kind == "all" and cell.missing] == [None]


def test_what_does_not_change_is_run_once() -> None:
    victim, shown = toy_victim("mfas_danet"), attacks()
    held = victim.holding(shown, [Modality.IR])
    assert set(held.still) == {Modality.RGB, Modality.DEPTH}
    changed = Batch({**shown.images, Modality.IR: shown.images[Modality.IR] + 0.5}, shown.present, shown.ids)
    with torch.no_grad():
        assert torch.allclose(held.output(changed).logit, victim.output(changed).logit, atol=1e-5)
    meeting = planted(Backdoor())
    assert meeting.holding(shown, [Modality.RGB, Modality.IR]).still.keys() == {Modality.DEPTH}
    assert victim.holding(shown, list(Modality)).still == {}


def test_the_check_of_the_search_rises() -> None:
    found = measure_strength(toy_victim("mfas_danet"), [attacks()], "all", PerturbSettings(steps=4, restarts=1))
    for varied in ("steps", "restarts", "budget"):
        rows = [one for one in found if one.varied == varied]
        assert [one.value for one in rows] == sorted(one.value for one in rows)
        values = [one.objective for one in rows]
        assert values == sorted(values)
