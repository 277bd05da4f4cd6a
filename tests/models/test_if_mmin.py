"""IF-MMIN: the moment discrepancy against hand-computed values, the two stages, and what the cascade may see."""

from __future__ import annotations

import pytest
import torch

from mfas.core import MODALITIES
from mfas.models.contract import FasModel, LossStep
from mfas.models.if_mmin import IfMmin, central_moment_discrepancy, teacher_epochs
from toys import batch, every_pattern, target_of, tiny_model


@pytest.fixture
def model() -> IfMmin:
    made = tiny_model("if_mmin")
    assert isinstance(made, IfMmin)
    return made


def loss_of(model: FasModel, epoch: int, epochs: int) -> torch.Tensor:
    step = LossStep(torch.Generator().manual_seed(0), epoch=epoch, epochs=epochs)
    return model.training_loss(batch(8), target_of(8), step)


def test_moment_discrepancy_of_known_samples() -> None:
    x = torch.tensor([[0.0], [1.0]])
    # Same mean; central moments 1/4, 0, 1/16, 0 of orders 2 to 5 against a constant's zeros.
    assert float(central_moment_discrepancy(x, torch.full((3, 1), 0.5), 5)) == pytest.approx(0.25 + 0.0625, abs=1e-5)
    # A shift moves the mean alone; two dimensions add up as a Euclidean norm.
    wide = x.expand(2, 2)
    shift = torch.tensor([[0.3, 0.4]])
    assert float(central_moment_discrepancy(wide, wide + shift, 5)) == pytest.approx(0.5, abs=1e-5)
    assert float(central_moment_discrepancy(x, torch.full((3, 1), 0.5), 1)) == pytest.approx(0.0, abs=1e-5)


def test_equal_samples_have_a_finite_gradient() -> None:
    x = torch.rand(4, 3, requires_grad=True)
    central_moment_discrepancy(x, x.detach().clone(), 5).backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


@pytest.mark.parametrize(
    ("epochs", "share", "expected"), [(1, 0.33, 0), (2, 0.33, 1), (3, 0.33, 1), (24, 0.33, 8), (4, 0.99, 3), (9, 0, 0)]
)
def test_both_stages_get_an_epoch_wherever_there_are_two(epochs: int, share: float, expected: int) -> None:
    assert teacher_epochs(epochs, share) == expected


def test_teacher_learns_first_and_is_frozen_afterwards(model: IfMmin) -> None:
    model.train()
    cascade, classifier = next(model.cascade.parameters()), next(model.teacher_classifier.parameters())
    loss_of(model, epoch=0, epochs=4).backward()
    assert cascade.grad is None
    assert classifier.grad is not None
    assert not bool(model.taught)
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    optimiser.step()
    model.zero_grad()
    learnt = {name: tensor.clone() for name, tensor in model.shared.state_dict().items()}
    loss_of(model, epoch=1, epochs=4).backward()
    assert cascade.grad is not None
    assert classifier.grad is None
    optimiser.step()
    loss_of(model, epoch=2, epochs=4).backward()
    assert all(torch.equal(tensor, learnt[name]) for name, tensor in model.teacher_shared.state_dict().items())
    assert not torch.equal(model.shared.state_dict()["0.weight"], learnt["0.weight"])
    assert not any(p.requires_grad or p.grad is not None for m in model.frozen_modules() for p in m.parameters())
    assert not model.teacher_trunks.training


def test_a_training_taken_up_again_finds_the_same_teacher(model: IfMmin) -> None:
    model.train()
    loss_of(model, epoch=1, epochs=4)
    with torch.no_grad():
        model.shared[0].weight.mul_(2)
    again = tiny_model("if_mmin", seed=5).train()
    again.load_state_dict(model.state_dict())
    torch.manual_seed(1)
    one = loss_of(model, epoch=2, epochs=4)
    torch.manual_seed(1)
    assert torch.equal(loss_of(again, epoch=2, epochs=4), one)


def test_only_removed_features_are_imagined(model: IfMmin) -> None:
    output = model(batch(7, present=every_pattern()))
    for column, modality in enumerate(MODALITIES):
        present = every_pattern()[:, column]
        assert not bool(output.complements[modality][present].any())
        assert bool(output.complements[modality][~present].any(dim=1).all())


def test_a_removed_feature_does_not_reach_the_cascade(model: IfMmin) -> None:
    some = batch(7)
    features = model.trunks.features(model.lower(some), some.present)
    changed = {m: torch.where(every_pattern()[:, i : i + 1], x, x + 5) for i, (m, x) in enumerate(features.items())}
    one, two = model._imagine(features, every_pattern()), model._imagine(changed, every_pattern())
    assert torch.equal(one.logit, two.logit)
    assert not torch.equal(one.logit, model._imagine(features, some.present).logit)


def test_heads_do_not_shape_the_features(model: IfMmin) -> None:
    """The published losses alone do: with heads of another sign, encoders get the same gradient."""
    gradients = []
    for sign in (1, -1):
        for head in model.trunks.heads.values():
            head.weight.data *= sign
        model.zero_grad()
        loss_of(model, epoch=0, epochs=1).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.trunks.encoders.parameters()]))
    assert torch.equal(gradients[0], gradients[1])
