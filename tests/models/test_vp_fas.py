"""VP-FAS: how little learns, which prompts a capture gets, and that each witness sees its own sensor only."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from mfas.adaptation.surface import norm_names, surface_names
from mfas.card import Preprocess
from mfas.core import MODALITIES, Batch
from mfas.errors import ConfigError
from mfas.models.contract import LossStep
from mfas.models.registry import create
from mfas.models.vp_fas import VpFas, pattern_index
from toys import SPEC, TINY_VIT, batch, every_pattern, target_of, tiny_model


@pytest.fixture
def model() -> VpFas:
    made = tiny_model("vp_fas")
    assert isinstance(made, VpFas)
    return made


@pytest.mark.parametrize(
    "architecture",
    [
        {},
        {
            "vit": {"image_size": 224, "patch": 16, "dim": 384, "depth": 12, "heads": 6},
            "prompt_blocks": 6,
            "context_rank": 32,
        },
        {
            "vit": {"image_size": 224, "patch": 16, "dim": 768, "depth": 12, "heads": 12},
            "prompt_blocks": 6,
            "context_rank": 64,
        },
    ],
    ids=["default", "ViT-S", "ViT-B"],
)
def test_less_than_four_percent_learn(architecture: dict[str, object]) -> None:
    with torch.device("meta"):
        model = create("vp_fas", Preprocess(size=224), architecture)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert 0 < learning < 0.04 * sum(p.numel() for p in model.parameters())


def test_every_pattern_has_its_own_prompts(model: VpFas) -> None:
    assert pattern_index(every_pattern()).tolist() == list(range(7))
    some = batch(7, present=every_pattern())
    before = model(some).logit
    for pattern in range(7):
        with torch.no_grad():
            model.prompts[:, pattern] = torch.randn_like(model.prompts[:, pattern])
        after = model(some).logit
        changed = ((after - before).abs() > 1e-5).tolist()
        assert changed == [row == pattern for row in range(7)]
        before = after


def test_context_is_made_of_observed_tokens_and_adds_up(model: VpFas) -> None:
    means: list[torch.Tensor] = []
    prompts: list[tuple[torch.Tensor, torch.Tensor]] = []

    def note(_: object, given: tuple[torch.Tensor, torch.Tensor], made: torch.Tensor) -> None:
        means.append(given[0])
        prompts.append((given[1], made))

    for make in model.context:
        make.register_forward_hook(note)
    some = batch(1, present=torch.tensor([[False, True, False]]))
    maps = model.lower(some)
    model.upper(maps, some.present)
    own = model.trunks.tokens(maps, MODALITIES[1], 1)
    assert torch.allclose(means[0], own.mean(dim=1), atol=1e-6)
    assert not bool(prompts[0][0].any())
    for (_, made), (before, _) in pairwise(prompts):
        assert torch.equal(made, before)


def test_blocks_with_own_norms_start_as_the_trunks(model: VpFas) -> None:
    block = model.trunks.blocks()[-1]
    tokens = torch.randn(2, 1 + 3 * model.trunks.vit.tokens + 1, TINY_VIT["dim"])
    assert torch.allclose(model._run(block, tokens, 1), block(tokens), atol=1e-6)


def test_adaptation_finds_the_last_norms_and_the_fused_score_depends_on_them(model: VpFas) -> None:
    names = surface_names(model, "norm")
    assert names == norm_names(model)
    assert {name.split(".")[0] for name in names} == {"norms"}
    assert len(names) == 3 * 2 * 2  # modalities, blocks, scale and shift
    model(batch(4)).logit.sum().backward()
    assert all(bool(model.get_parameter(name).grad.any()) for name in names)


def test_a_witness_sees_its_own_sensor_only(model: VpFas) -> None:
    some, other = batch(4, seed=1), batch(4, seed=2)
    mixed = Batch({m: (some if i == 0 else other).images[m] for i, m in enumerate(MODALITIES)}, some.present, some.ids)
    one, two = model(some), model(mixed)
    assert torch.allclose(one.modality_logits[:, 0], two.modality_logits[:, 0], atol=1e-6)
    assert not torch.allclose(one.logit, two.logit, atol=1e-4)


def test_consistency_counts_only_where_something_was_dropped() -> None:
    def loss(present: torch.Tensor, weight: float) -> float:
        torch.manual_seed(0)
        model = create("vp_fas", SPEC, {"vit": TINY_VIT, "weight_consistency": weight}).eval()
        step = LossStep(torch.Generator().manual_seed(0))
        return float(model.training_loss(batch(8, present=present), target_of(8), step).detach())

    single = torch.tensor([[True, False, False]] * 8)
    assert loss(single, 0.0) == pytest.approx(loss(single, 100.0), abs=1e-5)
    assert loss(torch.ones(8, 3, dtype=torch.bool), 100.0) > loss(torch.ones(8, 3, dtype=torch.bool), 0.0) + 1e-3


@pytest.mark.parametrize("key", ["prompt_blocks", "own_norms"])
def test_more_blocks_than_there_are_are_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        create("vp_fas", SPEC, {"vit": TINY_VIT, key: 4})
