"""DADM: the information bound, the angle margins and the pull of hyperplanes against values found by hand."""

from __future__ import annotations

from math import cosh, log, sqrt

import pytest
import torch

from mfas.adaptation.surface import surface_names
from mfas.core import MODALITIES, Batch
from mfas.errors import ConfigError
from mfas.models.contract import LossStep
from mfas.models.dadm import Dadm
from mfas.models.dadm_losses import ATTACK_COSINE, angle_margin, information_bound, pull_together
from mfas.models.dadm_parts import CentralDifference, MutualMask
from mfas.models.registry import create
from toys import SPEC, TINY_VIT, batch, every_pattern, target_of, tiny_model

ALL = torch.ones(2, 3, dtype=torch.bool)


@pytest.fixture
def model() -> Dadm:
    made = tiny_model("dadm")
    assert isinstance(made, Dadm)
    return made


def shaken(model: Dadm) -> Dadm:
    """Adapters begin with nothing to add; here they add something."""
    with torch.no_grad():
        for adapter in model.adapters.modules():
            if hasattr(adapter, "up"):
                adapter.up.weight.normal_()
    return model


def test_bound_of_known_samples_is_that_over_all_pairs() -> None:
    signs = torch.tensor([[1.0], [-1.0]])
    assert float(information_bound(signs, signs)) == pytest.approx(-2 * log(cosh(0.5)), abs=1e-6)
    # What is constant over the batch reaches the top, 0, whatever its value.
    assert float(information_bound(torch.full((5, 1), 7.0), torch.full((5, 1), -2.0))) == pytest.approx(0, abs=1e-5)
    a, b = torch.randn(6, 1), torch.randn(6, 1)
    pairs = ((a[:, None] + b[None]) / 2).exp().mean().log()
    assert float(information_bound(a, b)) == pytest.approx(float((a + b).mean() / 2 - pairs), abs=1e-6)


def test_bound_knows_the_marginals_only() -> None:
    """What the page says of the published critic: shuffling one side changes nothing."""
    a, b = torch.randn(9, 4), torch.randn(9, 4)
    assert float(information_bound(a, b)) == pytest.approx(float(information_bound(a, b[torch.randperm(9)])), abs=1e-6)


def test_hyperplanes_are_pulled_towards_the_farthest_and_keep_their_length() -> None:
    planes = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    pulled = pull_together(planes, 0.5)
    assert torch.allclose(pulled, torch.tensor([[2.0, 2.0], [3.0, 3.0]]) / sqrt(2))
    three = torch.tensor([[1.0, 0.0], [sqrt(0.5), sqrt(0.5)], [0.0, 1.0]])
    step = pull_together(three, 0.2)
    corner = torch.tensor([0.8, 0.2]) / sqrt(0.68)
    assert torch.allclose(step[0], corner)  # the third is farthest, not the second
    assert torch.allclose(step[2], corner.flip(0))
    assert torch.equal(pull_together(planes[:1], 0.5), planes[:1])


def test_published_rate_makes_directions_meet() -> None:
    planes = torch.randn(3, 12)
    for _ in range(2000):
        planes = pull_together(planes, 0.005)
    unit = torch.nn.functional.normalize(planes, dim=1)
    assert float((unit @ unit.T).min()) > 0.999


def test_angle_margins_of_known_features() -> None:
    same = torch.eye(3)[None].expand(2, 3, 3)
    sites, live = torch.tensor([0, 1]), torch.tensor([True, True])
    assert float(angle_margin(same, ALL, live, sites)) == pytest.approx(0, abs=1e-6)
    assert float(angle_margin(same, ALL, ~live, sites)) == pytest.approx((1 - ATTACK_COSINE) ** 2, abs=1e-6)
    # One site, or two classes: no pair.
    assert float(angle_margin(same, ALL, ~live, torch.zeros(2))) == 0
    assert float(angle_margin(same, ALL, torch.tensor([True, False]), sites)) == 0
    # Its depth points where its RGB does: one of three cosines falls to 0, and one of three couples differs.
    turned = same.clone()
    turned[1, 1] = turned[1, 0]
    assert float(angle_margin(turned, ALL, live, sites)) == pytest.approx(1 / 3 + 1 / 3, abs=1e-6)
    # Without depth there, neither counts.
    lacking = torch.tensor([[True, True, True], [True, False, True]])
    assert float(angle_margin(turned, lacking, live, sites)) == pytest.approx(0, abs=1e-6)


def test_central_difference_ignores_the_level() -> None:
    differ = CentralDifference(2, theta=1.0)
    flat = torch.full((1, 2, 5, 5), 3.0)
    assert torch.allclose(differ(flat)[:, :, 1:-1, 1:-1], torch.zeros(1, 2, 3, 3), atol=1e-5)
    plain = CentralDifference(2, theta=0.0)
    assert torch.equal(plain(flat), torch.nn.functional.conv2d(flat, plain.weight, padding=1))


def test_masks_leave_the_class_token_and_shrink_patches() -> None:
    torch.manual_seed(0)
    mask, one, two = MutualMask(8, 4), torch.rand(2, 10, 8), torch.rand(2, 10, 8)
    info = mask(one, two).info
    low, high = one[:, 0] / 10, one.mean(dim=1)  # all patches masked out, none
    assert bool(((info[0] > low) & (info[0] < high)).all())
    assert mask(one, two).tokens[1].shape == (2, 10, 8)


def test_an_absent_partner_says_nothing(model: Dadm) -> None:
    shaken(model)
    some = batch(7, present=torch.ones(7, 3, dtype=torch.bool))
    maps = model.lower(some)
    dirty = {m: torch.where(every_pattern()[:, i, None, None, None], h, h + 9) for i, (m, h) in enumerate(maps.items())}
    assert torch.equal(model.upper(maps, every_pattern()).logit, model.upper(dirty, every_pattern()).logit)


def test_a_partner_is_heard_and_a_witness_hears_nobody(model: Dadm) -> None:
    shaken(model)
    some, other = batch(4, seed=1), batch(4, seed=2)
    mixed = Batch({m: (some if i == 0 else other).images[m] for i, m in enumerate(MODALITIES)}, some.present, some.ids)
    fused = [model._fuse(model.lower(x), x.present).features[:, 0] for x in (some, mixed)]
    assert not torch.allclose(fused[0], fused[1], atol=1e-4)
    assert torch.allclose(model(some).modality_logits[:, 0], model(mixed).modality_logits[:, 0], atol=1e-6)


def test_untrained_streams_are_the_trunks(model: Dadm) -> None:
    """Adapters begin at zero and own norms as copies: each class token is what the frozen trunk makes alone."""
    some = batch(7, present=every_pattern())
    maps = model.lower(some)
    alone = torch.stack(list(model.trunks.features(maps, some.present).values()), dim=1)
    assert torch.allclose(model._fuse(maps, some.present).features, alone, atol=1e-5)


def test_each_site_trains_its_own_hyperplane(model: Dadm) -> None:
    model.training_loss(
        batch(8), target_of(8), LossStep(torch.Generator().manual_seed(0), sites=torch.tensor([0, 1] * 4))
    ).backward()
    assert model.hyperplanes.grad is not None
    assert model.hyperplanes.grad.any(dim=1).tolist() == [True, True, False]


def test_hyperplanes_that_no_site_has_trained_stay_out_of_it(model: Dadm) -> None:
    step = LossStep(torch.Generator().manual_seed(0), sites=torch.tensor([0, 1] * 4))
    model.train()
    for _ in range(2):
        model.training_step(batch(8), target_of(8), step, lambda x: x.backward())
    model.eval()
    before = model.hyperplanes.detach().clone()
    scores = model.predict(batch(8)).score
    with torch.no_grad():
        model.hyperplanes[2] = 5.0
    assert torch.equal(model.predict(batch(8)).score, scores)
    model.train()
    model.training_step(batch(8), target_of(8), step, lambda x: x.backward())
    assert torch.equal(model.hyperplanes[:2], pull_together(before[:2], model.architecture.pull))
    assert torch.equal(model.hyperplanes[2], torch.full_like(before[2], 5.0))


def test_a_step_pulls_before_it_learns(model: Dadm) -> None:
    step = LossStep(torch.Generator().manual_seed(0), sites=torch.tensor([0, 1, 2, 0] * 2))
    model.train()
    first = model.hyperplanes.detach().clone()
    model.training_step(batch(8), target_of(8), step, lambda x: x.backward())
    assert torch.equal(model.hyperplanes, first)  # nothing has learnt yet
    expected = pull_together(first, model.architecture.pull)
    loss = model.training_step(batch(8), target_of(8), step, lambda x: x.backward())
    assert torch.equal(model.hyperplanes, expected)
    assert not loss.requires_grad
    assert model.hyperplanes.grad is not None


def test_fewer_fused_blocks_leave_more_below_the_cut() -> None:
    torch.manual_seed(0)
    model = create("dadm", SPEC, {"vit": TINY_VIT, "fused_blocks": 1}).eval()
    some = batch(7, present=every_pattern())
    maps = model.lower(some)
    assert isinstance(model, Dadm)
    alone = torch.stack(list(model.trunks.features(maps, some.present).values()), dim=1)
    assert torch.allclose(model._fuse(maps, some.present).features, alone, atol=1e-5)
    assert len(model.masks) == 1
    names = surface_names(model, "norm")
    assert len(names) == 3 * 3 * 2  # modalities; two norms of a block and the final one; scale and shift


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="fused_blocks"):
        create("dadm", SPEC, {"vit": TINY_VIT, "fused_blocks": 4})
    with pytest.raises(ConfigError, match="own_norms"):
        create("dadm", SPEC, {"vit": TINY_VIT, "fused_blocks": 1, "own_norms": 2})
