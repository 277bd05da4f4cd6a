"""MMDG: its convolution, certainty, adapter, prototypes and the four cases of ReGrad against values by hand."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from mfas.core import MODALITIES, Modality
from mfas.errors import ConfigError
from mfas.models import registry
from mfas.models.contract import LossStep
from mfas.models.dadm_parts import CentralDifference
from mfas.models.mmdg import Mmdg, _slopes
from mfas.models.mmdg_parts import Prototypes, UncertainAdapter, certainty, dropout_spread
from mfas.models.regrad import regrad
from toys import SPEC, TINY_VIT, batch, every_pattern, target_of

RGB, DEPTH, IR = MODALITIES


def model(spoken: bool = True, **changes: object) -> Mmdg:
    """A tiny model; ``spoken``: adapters that have learnt to say something."""
    torch.manual_seed(0)
    made = registry.create("mmdg", SPEC, {"vit": TINY_VIT, **changes}).eval()
    assert isinstance(made, Mmdg)
    if spoken:
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                if ".up." in name:
                    parameter.normal_(0, 0.5)
    return made


def apart(got: Tensor, expected: Tensor) -> float:
    """Relative distance: gradients here are small numbers."""
    return float((got - expected).detach().norm() / expected.detach().norm())


def test_central_difference_is_taken_from_every_neighbour() -> None:
    torch.manual_seed(0)
    layer, x = CentralDifference(2, theta=0.3), torch.randn(1, 2, 3, 3)
    kernel = layer.weight[1]
    expected = (kernel * (x[0] - 0.3 * x[0, :, 1:2, 1:2])).sum()
    assert layer(x)[0, 1, 1, 1].item() == pytest.approx(expected.item(), abs=1e-6)
    flat = CentralDifference(2, theta=1.0)(torch.ones(1, 2, 3, 3))
    assert torch.allclose(flat[0, :, 1, 1], torch.zeros(2), atol=1e-6)


def test_certainty_is_that_of_copies_under_dropout() -> None:
    passes, rate, a = 20, 0.3, torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(7)
    masks = torch.rand(passes, 5, 4, generator=generator) >= rate
    copies = torch.stack([a * mask / (1 - rate) for mask in masks])
    expected = torch.exp(-2.25 * copies.std(dim=0)).mean(dim=2)
    assert torch.allclose(certainty(a, dropout_spread(passes, rate, 7, (5, 4)), 2.25), expected, atol=1e-6)
    many = dropout_spread(20000, rate, 0, (1, 2))
    assert torch.allclose(many, torch.full((1, 2), (0.3 / 0.7) ** 0.5), atol=0.01)


def test_queries_come_from_the_sender_and_doubt_makes_them_look_everywhere() -> None:
    torch.manual_seed(0)
    adapter = UncertainAdapter(dim=6, width=2, heads=2, theta=0.5, dropout=0.0)
    mine, theirs, certain = torch.randn(1, 5, 2), torch.randn(1, 5, 2), torch.tensor([[1.0, 0.5, 0.2, 0.7, 0.0]])
    heads = []
    for h in range(2):
        query = (theirs[0] @ adapter.query.weight[h] + adapter.query.bias[h])[:, None]
        key = (mine[0] @ adapter.key.weight[h] + adapter.key.bias[h])[None]
        value = mine[0] @ adapter.value.weight[h] + adapter.value.bias[h]
        heads.append(torch.softmax(query * key * certain[0][:, None], dim=1) @ value)
    expected = adapter.out(torch.stack(heads, dim=1))
    got = adapter.attend(mine, theirs, certain)[0]
    assert torch.allclose(got, expected, atol=1e-6)
    assert torch.allclose(got[4], adapter.out(adapter.value(mine[0]).mean(dim=0)), atol=1e-6)


def test_untaught_adapters_leave_the_trunk_as_it_is() -> None:
    net, some = model(spoken=False), batch(7, present=every_pattern())
    maps = net.lower(some)
    alone, fused = net.trunks.features(maps, some.present), net._fuse(maps, some.present).features
    assert all(torch.allclose(fused[m], alone[m], atol=1e-5) for m in MODALITIES)


def test_depth_and_infrared_hear_rgb_only() -> None:
    net = model()
    whole = batch(1)
    maps = net.lower(whole)

    def depth(*there: bool) -> Tensor:
        return net._fuse(maps, torch.tensor([there])).features[DEPTH]

    assert torch.allclose(depth(False, True, True), depth(False, True, False), atol=1e-6)
    assert not torch.allclose(depth(True, True, False), depth(False, True, False), atol=1e-3)


def test_evaluation_draws_nothing() -> None:
    net, some = model(), batch(7, present=every_pattern())
    first = net.predict(some).score
    torch.manual_seed(99)
    assert torch.equal(net.predict(some).score, first)
    assert torch.equal(net.spread, model(mc_seed=0).spread)
    assert not torch.equal(net.spread, model(mc_seed=1).spread)


def test_prototype_loss_and_classes() -> None:
    some = Prototypes(modalities=1, sites=2, dim=2, momentum=0.5)
    live, sites = torch.tensor([True, False, False, False]), torch.tensor([1, 0, 1, 2])
    assert some.classes(live, sites).tolist() == [0, 1, 2, 1]
    assert some.classes(live, None).tolist() == [0, 1, 1, 1]
    feature = torch.tensor([[3.0, 4.0]])
    assert float(some.loss(feature, 0, torch.tensor([0]))) == 0.0, "no centre, no loss"
    some.update(torch.tensor([[[0.0, 0.0], [6.0, 8.0], [0.0, 0.0]]]), torch.tensor([[1.0, 2.0, 0.0]]))
    # centres (0, 0) and (3, 4): distances 5 and 0; the third class has none
    expected = -torch.log_softmax(torch.tensor([-5.0, 0.0]), dim=0)[0]
    assert float(some.loss(feature, 0, torch.tensor([0]))) == pytest.approx(float(expected))
    some.update(torch.tensor([[[2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]]), torch.tensor([[1.0, 0.0, 0.0]]))
    assert some.centres[0, :2].tolist() == [[1.0, 1.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("case", "own", "other", "fast", "expected"),
    [
        # own gradient is the base: (2, 0); what the other adds is weighed by its certainty, 0.5
        ("slow, agreeing", (2, 0), (3, 4), 1, (2 + 0.5 * 3, 0)),
        ("slow, in conflict", (2, 0), (-3, 4), 1, (2, 0.5 * 4)),
        # the other's gradient is the base: (0, 2); own is weighed by its certainty, 0.25
        ("fast, agreeing", (3, 4), (0, 2), 0, (0, 2 + 0.25 * 4)),
        ("fast, in conflict", (3, -4), (0, 2), 0, (0.25 * 3, 2)),
    ],
)
def test_the_four_cases_of_regrad(
    case: str, own: tuple[float, ...], other: tuple[float, ...], fast: int, expected: tuple[float, ...]
) -> None:
    gradients = [torch.tensor(own, dtype=torch.float32), torch.tensor(other, dtype=torch.float32)]
    trust = [torch.tensor(0.25), torch.tensor(0.5)]
    assert regrad(gradients, trust, own=0, fast=fast).tolist() == pytest.approx(list(expected)), case


def test_three_modalities_sum_the_slower_ones_as_base_of_the_fast() -> None:
    a, b, c = torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0])
    trust = [torch.tensor(0.5), torch.tensor(0.1), torch.tensor(0.2)]
    assert regrad([a, b, c], trust, own=0, fast=0).tolist() == pytest.approx([2 + 0.5 * 1, 0])
    # base b = (1, 0): a along it (1, 0), c along it (1, 0)
    assert regrad([a, b, c], trust, own=1, fast=0).tolist() == pytest.approx([1 + 0.5 + 0.2, 0])
    assert regrad([a], trust, own=0, fast=0).tolist() == [1.0, 1.0]


def test_a_training_step_leaves_exactly_these_gradients() -> None:
    start = model(dropout=0.0).train()
    some, target = batch(12, seed=4), target_of(12)

    def step() -> LossStep:
        return LossStep(torch.Generator().manual_seed(0), sites=torch.arange(12) % 3)

    one, two = deepcopy(start), deepcopy(start)
    value = one.training_step(some, target, step(), lambda loss: loss.backward())
    losses = two._losses(some, target, step())
    speeds = [losses.prototype[m].item() for m in MODALITIES]
    fast, trust = speeds.index(min(speeds)), [losses.certain[m] for m in MODALITIES]
    assert float(value) == pytest.approx(losses.plain.item() + 0.3 * sum(speeds), rel=1e-5)

    named, changes = dict(two.named_parameters()), []
    for k, name in enumerate(
        ("adapters.rgb.0.depth.up.weight", "adapters.depth.1.rgb.down_own.weight", "norms.ir.bias")
    ):
        own = named[name]
        plain = torch.autograd.grad(losses.plain, own, retain_graph=True)[0]
        parts = [_slopes(losses.prototype[m], [own])[0] for m in MODALITIES]
        expected = plain + 0.3 * regrad(parts, trust, k, fast)
        got = dict(one.named_parameters())[name].grad
        assert got is not None
        assert apart(got, expected) < 1e-3, name
        changes.append(apart(got, plain + 0.3 * torch.stack(parts).sum(dim=0)))
    assert changes[fast] > 0.01, "the fast modality must be slowed"
    joint = torch.autograd.grad(losses.plain, two.joint.weight)[0]
    assert one.joint.weight.grad is not None
    assert torch.allclose(one.joint.weight.grad, joint, atol=1e-6)


def test_names_of_fusion_and_settings_that_do_not_fit() -> None:
    net = model()
    assert len(net.fusion_names()) == 4 * TINY_VIT["depth"] * 3 * 2
    assert Modality.IR.value not in {
        name.split(".")[3] for name in net.fusion_names() if name.startswith("adapters.depth")
    }
    with pytest.raises(ConfigError, match="at most depth 3"):
        model(fused_blocks=4)
    with pytest.raises(ConfigError, match="multiple of adapter_heads"):
        model(adapter_width=6, adapter_heads=4)
