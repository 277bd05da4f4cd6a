"""Weaknesses that are planted are found; where nothing is planted nothing is claimed."""

from __future__ import annotations

import torch

from mfas.audit.patch import PatchSettings, put, search_patch
from mfas.audit.residual import detector_auc, residuals
from mfas.core import Batch, Modality
from toys import SPEC, batch
from victims import Backdoor, Linear, Twins, planted, toy_victim

QUICK = PatchSettings(steps=3)


def attacks(count: int = 8) -> Batch:
    return batch(count, 3, target=torch.zeros(count))


def test_a_backdoor_is_found() -> None:
    found = search_patch(planted(Backdoor()), attacks(), Modality.RGB, QUICK)
    assert found is not None
    assert (found.top, found.left) == (0, 0)
    assert found.clean == 0.0
    assert found.accepted == 1.0
    assert found.lowest > 10
    for modality in (Modality.DEPTH, Modality.IR):
        other = search_patch(planted(Backdoor()), attacks(), modality, QUICK)
        assert other is not None
        assert other.accepted == 0.0


def test_a_model_without_one_has_no_such_patch() -> None:
    found = search_patch(planted(Linear()), attacks(), Modality.RGB, QUICK)
    assert found is not None
    assert found.accepted == found.clean == 0.0
    # by hand: 16 of 1,024 pixels, at most four units each, weights of 3, -1 and 2
    assert found.shift <= 6 * 4 * 16 / 1024 + 1e-4


def test_refining_a_patch_is_never_worse() -> None:
    victim, shown = toy_victim("mfas_danet"), attacks()
    shifts = [search_patch(victim, shown, Modality.IR, PatchSettings(steps=n, refined=1, side=0.5)) for n in (0, 4)]
    assert shifts[0] is not None
    assert shifts[1] is not None
    assert shifts[1].shift >= shifts[0].shift - 1e-5


def test_a_patch_covers_those_that_have_the_modality() -> None:
    shown = attacks(2)
    shown.present[1, 0] = False
    values = torch.full((3, 4, 4), 2.0)
    image = put(shown, Modality.RGB, (8, 12), values).images[Modality.RGB]
    assert torch.equal(image[0, :, 8:12, 12:16], values)
    assert torch.equal(image[1], shown.images[Modality.RGB][1])
    assert not torch.equal(image[0], shown.images[Modality.RGB][0])
    nobody = Batch(shown.images, torch.tensor([[False, True, True]] * 2), shown.ids)
    assert search_patch(planted(Linear()), nobody, Modality.RGB, QUICK) is None


def test_noise_in_one_modality_shows_in_the_residual() -> None:
    victim = planted(Twins())
    torch.manual_seed(0)
    common = torch.randn(10, 1, SPEC.size, SPEC.size)
    images = {m: common.expand(-1, SPEC.channels(m), -1, -1).clone() for m in Modality}
    calm = Batch(images, torch.ones(10, 3, dtype=torch.bool), batch(10).ids)
    noisy = Batch({**images, Modality.IR: images[Modality.IR] + torch.randn(10, 1, 1, 1)}, calm.present, calm.ids)
    before, after = (residuals(victim, [some], Modality.IR) for some in (calm, noisy))
    assert before is not None
    assert after is not None
    assert float(before.max()) < 1e-5
    assert detector_auc(after, before) > 0.95
    assert detector_auc(before, before) == 0.5


def test_no_residual_without_complements_or_witnesses() -> None:
    assert residuals(toy_victim("late_fusion", steps=0), [attacks()], Modality.IR) is None
    alone = Batch(attacks().images, torch.tensor([[False, False, True]] * 8), attacks().ids)
    assert residuals(toy_victim("mfas_danet", steps=0), [alone], Modality.IR) is None
    found = residuals(toy_victim("mfas_danet", steps=0), [attacks()], Modality.IR)
    assert found is not None
    assert found.shape == (8,)
