"""The gate's estimators and limits: what they compute, and that a capture's verdict is its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mfas.adaptation import registry
from mfas.adaptation.frozen import FrozenUpper
from mfas.adaptation.gate import Gate, GateSettings, limits_of
from mfas.benchmark.gate_calibration import calibrate_gate
from mfas.card import Card, GateEvidence
from mfas.config import parse
from mfas.core import MODALITIES, Modality
from mfas.errors import ConfigError
from mfas.models.contract import FasModel
from mfas.models.estimators import AugmentationEstimator, DropoutEstimator, EntropyEstimator, estimate
from mfas.models.uncertainty import assess, binary_entropy
from mfas.models.views import weak_views
from toys import batch, card, every_pattern, target_of, tiny_model, trained

ESTIMATORS = [EntropyEstimator(), DropoutEstimator(passes=4), AugmentationEstimator(views=5)]
CENTRE = torch.tensor([0.3, -0.2, 0.0])


@pytest.fixture(scope="module")
def model() -> FasModel:
    return trained()


@pytest.mark.parametrize("settings", ESTIMATORS, ids=lambda s: s.kind)
def test_an_estimate_depends_on_the_capture_alone(model: FasModel, settings: EntropyEstimator) -> None:
    whole = batch(7, present=every_pattern())
    with torch.no_grad():
        together = estimate(settings, model(whole), CENTRE, model, whole)
        for row in range(7):
            one = whole.select(torch.tensor([row]))
            alone = estimate(settings, model(one), CENTRE, model, one)
            assert torch.allclose(alone.assessment.uncertainty, together.assessment.uncertainty[row], atol=1e-5)
            seen = whole.present[row]
            assert torch.allclose(alone.scores[0][seen], together.scores[row][seen], atol=1e-5)


def test_entropy_is_one_reading_of_the_centred_heads(model: FasModel) -> None:
    some = batch(6)
    with torch.no_grad():
        output = model(some)
    found = estimate(EntropyEstimator(), output, CENTRE)
    p = torch.sigmoid(output.modality_logits - CENTRE)
    assert torch.equal(found.scores, p)
    assert torch.equal(found.assessment.uncertainty, assess(p, some.present).uncertainty)
    assert not found.spread.any()
    assert not found.epistemic.any()


def test_dropout_mean_and_epistemic_part_by_hand(model: FasModel) -> None:
    some = batch(4)
    with torch.no_grad():
        output = model(some)
    settings = DropoutEstimator(passes=3, rate=0.5, seed=5)
    found = estimate(settings, output, torch.zeros(3), model)
    generator = torch.Generator().manual_seed(5)
    readings = []
    for _ in range(3):
        columns = []
        for modality in MODALITIES:
            feature = output.features[modality]
            mask = (torch.rand(feature.shape[1], generator=generator) < 0.5).float() * 2
            head = model.trunks.head(modality)  # type: ignore[attr-defined]
            columns.append(torch.sigmoid((feature * mask) @ head.weight[0] + head.bias))
        readings.append(torch.stack(columns, dim=1))
    p = torch.stack(readings)
    bald = binary_entropy(p.mean(dim=0)) - binary_entropy(p).mean(dim=0)
    assert torch.allclose(found.scores, p.mean(dim=0), atol=1e-6)
    assert torch.allclose(found.spread, p.std(dim=0, unbiased=False), atol=1e-6)
    assert torch.allclose(found.epistemic, bald.mean(dim=1), atol=1e-5)
    assert float(found.epistemic.max()) > 0


def test_views_are_windows_of_the_image_and_move_together() -> None:
    some = batch(2)
    ramp = torch.linspace(-1, 1, 32).expand(32, 32)
    some = replace(some, images={m: ramp.expand_as(x).clone() for m, x in some.images.items()})
    mirrored, left, right = weak_views(some, 3, shift=0.1, degrees=4)
    assert torch.equal(mirrored.images[Modality.IR], some.images[Modality.IR].flip(-1))
    middle = {name: view.images[Modality.RGB][0, 0, :, 15:17].mean() for name, view in (("l", left), ("r", right))}
    assert float(middle["l"]) == pytest.approx(-0.1, abs=0.02)
    assert float(middle["r"]) == pytest.approx(0.1, abs=0.02)
    for view in weak_views(some, 7, shift=0.1, degrees=4):
        values = view.images[Modality.DEPTH]
        assert set(values.unique().tolist()) <= set(ramp.unique().tolist()), "depth values are never mixed"
        assert view.ids == some.ids


@pytest.mark.parametrize("kind", ["mc_dropout", "augmentation"])
def test_the_adapters_gate_looks_at_the_source_however_far_the_model_has_moved(model: FasModel, kind: str) -> None:
    fresh = tiny_model()
    fresh.load_state_dict(model.state_dict())
    settings = {"gate": {"estimator": {"kind": kind}}, "surface": "upper", "extra_layers": ["trunks.heads"]}
    adapter = registry.create("mfas_danet", fresh, card(), settings)
    some = batch(8, seed=3)
    before = adapter.step(some)[1]
    assert before.accepted, "the test needs evidence"
    with torch.no_grad():
        for name, value in fresh.named_parameters():
            if name in adapter.adapted_parameters:
                value.neg_()
    adapter._updates = 1  # type: ignore[attr-defined]
    after = adapter.step(some)[1]
    assert (after.accepted_ids, after.pseudo_labels) == (before.accepted_ids, before.pseudo_labels)


def test_the_frozen_parts_are_the_source_model(model: FasModel) -> None:
    some = batch(4)
    with torch.no_grad():
        want = model(some)
        values = {name: value.detach().clone() for name, value in model.named_parameters()}
        other = tiny_model(seed=9)
        frozen = FrozenUpper(other, values)
        found = frozen.upper(frozen.lower(some), some.present)
        assert torch.equal(found.logit, want.logit)
        assert torch.equal(frozen.heads(found.features, some.present), want.modality_logits)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"estimator": {"kind": "guess"}}, "expected one of entropy, mc_dropout, augmentation, got guess"),
        ({"estimator": {"kind": "mc_dropout", "rate": 1.0}}, "estimator.mc_dropout.rate"),
        ({"estimator": {"kind": "entropy", "passes": 3}}, "passes"),
        ({"limits": "target"}, "limits"),
    ],
)
def test_bad_gates_are_refused_by_name(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(GateSettings, settings, "gate")


# -- what source validation says -------------------------------------------------------------------------------------


def calibrated(model: FasModel, **settings: object) -> Card:
    gate = GateSettings.model_validate(settings)
    parts = [batch(40, seed=700 + i, first=40 * i) for i in range(6)]
    truth = np.concatenate([target_of(40).numpy() > 0.5 for _ in parts])
    names = np.array([f"p{i // 2}" for i in range(240)])
    return calibrate_gate(model, card(), parts, truth, names, gate)


def test_claims_of_accepted_captures_come_from_the_card(model: FasModel) -> None:
    known = calibrated(model)
    assert known.evidence is not None
    assert set(known.evidence.curves) == {"", "rgb", "depth", "ir"}
    again = Card.model_validate_json(known.model_dump_json())
    assert again == known
    adapter = registry.create("mfas_danet", tiny_model(), again, {})
    adapter.model.load_state_dict(model.state_dict())
    adapter = registry.create("mfas_danet", adapter.model, again, {})
    _, report = adapter.step(batch(10, seed=4))
    assert report.accepted
    assert len(report.reliabilities) == len(report.accepted_ids)
    assert all(0.5 < claim < 1 for claim in report.reliabilities if claim is not None)
    assert any(claim is not None for claim in report.reliabilities)


def test_a_card_says_nothing_about_another_gate_or_an_unseen_reliability(model: FasModel) -> None:
    known = calibrated(model)
    assert known.evidence is not None
    some = batch(10, seed=4)
    with torch.no_grad():
        output = model(some)
    for gate in (Gate(GateSettings(limits="fixed", min_vote=0.75), known), Gate(GateSettings(), card())):
        verdict = gate.judge(output)
        rows = verdict.accept.nonzero().flatten().tolist()
        assert rows
        assert gate.claims(verdict, rows) == [None] * len(rows)
    lowest = known.evidence.curves[""]["attack"][0]
    assert known.evidence.claim("", "attack", lowest.low) == lowest.claim
    assert known.evidence.claim("", "attack", max(0.0, lowest.low - 1e-6)) is None
    assert known.evidence.claim("depth,ir", "attack", 1.0) is None


def test_limits_from_source_let_the_share_pass_that_they_name(model: FasModel) -> None:
    known = calibrated(model, limits="source", quantile=0.8)
    settings = GateSettings(limits="source", quantile=0.8)
    limits = limits_of(settings, known)
    probe = batch(400, seed=77)
    with torch.no_grad():
        found = Gate(settings, known).estimate(model(probe))
    right = (found.assessment.mean >= 0.5) & (target_of(400) > 0.5)
    share = (found.assessment.uncertainty[right] <= limits.max_entropy_fraction).float().mean()
    assert float(share) == pytest.approx(0.8, abs=0.1)
    assert limits_of(GateSettings(limits="fixed"), known).min_vote == 0.8
    assert 0.5 <= limits.min_vote < 1


def test_limits_from_source_need_a_card_that_has_them(model: FasModel) -> None:
    wanted = GateSettings(limits="source", estimator=DropoutEstimator())
    assert limits_of(wanted, card()).min_vote == wanted.min_vote
    for unfit in (calibrated(model), card().model_copy(update={"evidence": GateEvidence()})):
        with pytest.raises(ConfigError, match=r"gate.limits: expected a model card with quantiles"):
            Gate(wanted, unfit)


def test_a_number_that_source_limits_would_replace_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected limits: fixed beside min_vote 0\.9"):
        GateSettings(min_vote=0.9)
    assert GateSettings.model_validate(GateSettings().model_dump()) == GateSettings()
