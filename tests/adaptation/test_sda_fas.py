"""SDA-FAS: its terms by hand, and a planted shift: at the target the class shows itself otherwise in RGB."""

from __future__ import annotations

from math import cos, exp, log

import pytest
import torch
from torch.nn.functional import softplus

from mfas.adaptation import registry
from mfas.adaptation.pool import CapturePool, MapPool
from mfas.adaptation.sda_fas import SdaFas, SdaFasSettings, _Teacher
from mfas.adaptation.sda_terms import contrast, destroyed, prototypes, self_distillation
from mfas.core import MODALITIES
from toys import SPEC, batch, card, restyled, right_by_head, tiny_model, trained


def test_prototypes_are_the_weights_of_the_heads() -> None:
    model = tiny_model()
    pool = MapPool(model, CapturePool([batch(2)], SPEC))
    weights = model.state_dict()
    for m, direction in prototypes(model, pool).items():
        assert torch.allclose(direction, weights[f"trunks.heads.{m}.weight"][0])


def test_contrast_by_hand() -> None:
    """At an angle a to the prototype: -ln of a softmax over cos a / t and -cos a / t; the unobserved have no say."""
    angles = (0.3, 1.0, 2.5)
    towards = {m: torch.tensor([2.0, 0.0]) for m in MODALITIES}
    features = {
        m: 5 * torch.tensor([[cos(a), (1 - cos(a) ** 2) ** 0.5]]).repeat(2, 1)
        for m, a in zip(MODALITIES, angles, strict=True)
    }
    present = torch.tensor([[True, True, True], [True, False, False]])
    found = contrast(features, towards, present, torch.tensor([True, False]), 0.5)
    e = [(exp(cos(a) / 0.5), exp(-cos(a) / 0.5)) for a in angles]
    assert float(found[0]) == pytest.approx(sum(-log(x / (x + y)) for x, y in e) / 3, rel=1e-5)
    assert float(found[1]) == pytest.approx(-log(e[0][1] / sum(e[0])), rel=1e-5)


def test_torn_images_keep_every_patch_in_one_order_for_all_modalities() -> None:
    some = batch(2, seed=5)
    torn = destroyed(some, 4, torch.Generator().manual_seed(1))
    orders = []
    for m, image in some.images.items():
        before, after = (x.unfold(2, 8, 8).unfold(3, 8, 8)[0, 0].reshape(16, 64) for x in (image, torn.images[m]))
        orders.append([next(i for i in range(16) if torch.equal(before[i], patch)) for patch in after])
    assert sorted(orders[0]) == list(range(16)) != orders[0]
    assert orders[0] == orders[1] == orders[2]


def test_each_view_learns_from_the_teacher_of_the_other() -> None:
    whole, torn = (torch.tensor([x], requires_grad=True) for x in (0.0, 2.0))
    self_distillation([whole, torn], [torch.tensor([0.9]), torch.tensor([0.1])]).backward()
    assert float(whole.grad) == pytest.approx(0.5 * (0.5 - 0.1))
    assert float(torn.grad) == pytest.approx(0.5 * (1 / (1 + exp(-2)) - 0.9), rel=1e-4)


def test_a_head_whose_cue_is_gone_learns_the_new_one() -> None:
    adapter = registry.create_offline(
        "sda_fas", trained(steps=20), card(), {"passes": 6, "batch_size": 16, "learning_rate": 0.1}
    )
    before = right_by_head(adapter.predict(restyled(100, seed=900)))
    adapter.fit([restyled(16, seed=i) for i in range(3)])
    after = right_by_head(adapter.predict(restyled(100, seed=900)))
    assert before["fused"] == after["fused"] == 1.0
    assert after["rgb"] > before["rgb"] + 0.15


def test_labels_below_the_confidence_teach_nothing() -> None:
    """Without sure labels and teacher only weight decay is left, and that is set to none."""
    own = {"passes": 1, "confidence": 0.999, "teacher_weight": 0.0, "weight_decay": 0.0, "learning_rate": 0.1}
    adapter = registry.create_offline("sda_fas", trained(steps=1), card(), own)
    report = adapter.fit([batch(16)])
    assert report.signals["source_labelled"] == 0
    assert report.drift == 0


def test_source_labels_give_way_to_those_of_the_model_by_hand() -> None:
    """(4) without its last terms, a quarter of the way: 0.75 of the source's label, 0.25 of the current model's."""
    model, own = trained(steps=4), {"contrast_weight": 0.0, "teacher_weight": 0.0}
    adapter = registry.create_offline("sda_fas", model, card(), own)
    assert isinstance(adapter, SdaFas)
    output = model(batch(3))
    z = output.logit.double()
    before, now = torch.tensor([0.99, 0.99, 0.6]), torch.tensor([0.01, 0.9, 0.99])
    goals = [torch.zeros(3)] * 2
    loss = adapter._loss(output, output, before, now, goals, {m: torch.ones(1) for m in MODALITIES}, 0.25)
    source, current = softplus(-z[:2]).mean(), (softplus(z[0]) + softplus(-z[2])) / 2
    assert float(loss) == pytest.approx(float(0.75 * source + 0.25 * current), rel=1e-5)


def test_the_teacher_is_centred_and_sharpened_by_hand() -> None:
    """(2): the centre moves first, a tenth of the way to the mean of both views."""
    model = trained(steps=4)
    teacher = _Teacher(model, dict(model.named_parameters()), SdaFasSettings())
    some = batch(4)
    with torch.no_grad():
        maps = [model.lower(some), model.lower(batch(4, seed=9, target=torch.ones(4)))]
        logits = [model.upper(each, some.present).logit for each in maps]
    centre = 0.1 * torch.cat(logits).mean()
    assert abs(float(centre)) > 1e-3
    for goal, z in zip(teacher.goals(maps, some.present), logits, strict=True):
        assert torch.allclose(goal, torch.sigmoid((z - centre) / 0.1), atol=1e-5)
