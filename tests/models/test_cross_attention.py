"""Cross-attention: what it computes, what an absent modality may not do, which parameters are its fusion."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mfas.core import MODALITIES, Modality
from mfas.errors import ConfigError
from mfas.models import registry
from mfas.models.cross_attention import CrossAttention, CrossAttentionFusion
from toys import SPEC, every_pattern, tiny_model


def tokens(count: int) -> dict[Modality, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {m: torch.randn(count, 4, 6, generator=generator) for m in MODALITIES}


def test_rgb_and_depth_are_the_formula_by_hand() -> None:
    torch.manual_seed(0)
    fusion, some = CrossAttentionFusion(dim=6, width=6, heads=1), tokens(1)
    present = torch.tensor([[True, True, False]])
    expected = torch.zeros(4, 6)
    for n, m in (("rgb", "depth"), ("depth", "rgb")):
        own, other = some[Modality(n)][0], some[Modality(m)][0]
        weights = torch.softmax(fusion.q[n](own) @ fusion.k[m](other).T / 6**0.5, dim=1)
        expected += (own + fusion.out[n](weights @ fusion.v[m](other))) / 2
    assert torch.allclose(fusion(some, present)[0], expected, atol=1e-6)


def test_a_modality_alone_passes_unchanged_and_absent_tokens_count_for_nothing() -> None:
    torch.manual_seed(0)
    fusion, some = CrossAttentionFusion(dim=6, width=4, heads=2), tokens(7)
    present = every_pattern()
    plain = fusion(some, present)
    for row in range(7):
        if int(present[row].sum()) == 1:
            only = MODALITIES[int(present[row].nonzero())]
            assert torch.allclose(plain[row], some[only][row])
    dirty = {m: torch.where(present[:, i, None, None], some[m], torch.tensor(50.0)) for i, m in enumerate(MODALITIES)}
    assert torch.equal(fusion(dirty, present), plain)


def test_one_softmax_weighs_the_two_others_against_each_other() -> None:
    torch.manual_seed(0)
    fusion, some = CrossAttentionFusion(dim=6, width=6, heads=1), tokens(1)
    answers: list[Tensor] = []
    fusion.out["rgb"].register_forward_hook(lambda *args: answers.append(args[2]))
    with torch.no_grad():
        fusion.q["rgb"].weight.zero_()
        fusion.k["ir"].bias.copy_(400 * fusion.q["rgb"].bias)
    fusion(some, torch.tensor([[True, True, True]]))
    fusion(some, torch.tensor([[True, False, True]]))
    assert torch.allclose(answers[0], answers[1], atol=1e-4), "the preferred modality must silence the other"


def test_fusion_names_are_queries_keys_and_values() -> None:
    model = tiny_model("cross_attention")
    assert isinstance(model, CrossAttention)
    names = model.fusion_names()
    assert len(names) == 3 * 3 * 2
    assert set(names) <= {name for name, _ in model.named_parameters()}
    with pytest.raises(ConfigError, match="multiple of attention_heads"):
        registry.create("cross_attention", SPEC, {"attention_width": 10, "attention_heads": 4})
