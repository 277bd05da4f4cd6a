"""Attack-family heads beside a model: what they read, that they change nothing, and their file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mfas._files import sha256
from mfas.card import FAMILIES_FILE, Card, FamilyCard
from mfas.core import FAMILIES, Family
from mfas.errors import ModelDirError
from mfas.models import registry
from mfas.models.families import (
    FamilyHeads,
    fused_features,
    fused_width,
    load_families,
    predict_with_families,
    save_families,
)
from mfas.models.store import load_model, save_model
from toys import batch, card, every_pattern, tiny_model

NAMES = (Family.PRINT, Family.REPLAY)


def heads_for(name: str = "mfas_danet") -> FamilyHeads:
    torch.manual_seed(3)
    return FamilyHeads(fused_width(tiny_model(name)), NAMES, 4).eval()


def test_they_read_what_the_fused_head_reads() -> None:
    model, some = tiny_model(), batch(7, present=every_pattern())
    seen: list[torch.Tensor] = []
    model.fused.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    with torch.no_grad():
        output = model(some)
    assert torch.allclose(fused_features(output), seen[0], atol=1e-6)


@pytest.mark.parametrize("name", registry.names())
def test_every_model_can_have_them_and_scores_as_before_to_the_bit(name: str) -> None:
    model, some = tiny_model(name), batch(7, present=every_pattern())
    alone, both = model.predict(some), predict_with_families(model, heads_for(name), some)
    assert both.extras["families"].shape == (7, 2)
    assert ((both.extras["families"] > 0) & (both.extras["families"] < 1)).all()
    for field in ("score", "modality_scores", "uncertainty", "reliability", "present", "substituted", "enhanced"):
        assert torch.equal(torch.nan_to_num(getattr(alone, field)), torch.nan_to_num(getattr(both, field))), field


def test_a_head_does_not_depend_on_its_batch_or_on_the_other_heads() -> None:
    model, heads, some = tiny_model(), heads_for(), batch(6)
    together = predict_with_families(model, heads, some).extras["families"]
    alone = predict_with_families(model, heads, some.select(torch.tensor([4]))).extras["families"]
    assert torch.allclose(together[4:5], alone, atol=1e-6)
    with torch.no_grad():
        for parameter in heads.heads["replay"].parameters():
            parameter.add_(1.0)
    changed = predict_with_families(model, heads, some).extras["families"]
    assert torch.equal(changed[:, 0], together[:, 0])
    assert not torch.equal(changed[:, 1], together[:, 1])


def stored(directory: Path) -> tuple[FamilyHeads, Card]:
    heads = heads_for()
    save_model(tiny_model(), card(), directory)
    told = FamilyCard(names=NAMES, hidden=4, way="post_hoc")
    return heads, save_families(heads, Card.read(directory), told, directory)


def test_they_come_back_as_they_went_and_the_weights_file_is_as_it_was(tmp_path: Path) -> None:
    save_model(tiny_model(), card(), tmp_path / "before")
    heads, written = stored(tmp_path / "with")
    assert sha256(tmp_path / "with" / "model.safetensors") == sha256(tmp_path / "before" / "model.safetensors")
    model, read = load_model(tmp_path / "with")
    assert read == written
    found = load_families(model, read, tmp_path / "with")
    assert found is not None
    for name, tensor in heads.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)
    assert not any(p.requires_grad for p in found.parameters())


def test_a_model_without_them_has_none(tmp_path: Path) -> None:
    save_model(tiny_model(), card(), tmp_path)
    model, read = load_model(tmp_path)
    assert load_families(model, read, tmp_path) is None


def test_files_that_are_not_heads_of_the_model_are_refused(tmp_path: Path) -> None:
    stored(tmp_path)
    model, read = load_model(tmp_path)
    other = read.model_copy(update={"families": FamilyCard(names=FAMILIES, hidden=4, way="post_hoc")})
    with pytest.raises(ModelDirError, match="expected 20 tensors of family heads that fit the model"):
        load_families(model, other, tmp_path)
    (tmp_path / FAMILIES_FILE).write_bytes(b"no such file")
    with pytest.raises(ModelDirError, match="does not match its card"):
        load_model(tmp_path)
    with pytest.raises(ModelDirError, match="is not a safetensors file"):
        load_families(model, read, tmp_path)


@pytest.mark.parametrize("names", [(), (Family.PRINT, Family.PRINT), (Family.UNKNOWN,)])
def test_a_card_names_known_families_once(names: tuple[Family, ...]) -> None:
    with pytest.raises(ValueError, match=r"at least 1 item|each once"):
        FamilyCard(names=names, hidden=4, way="post_hoc")


def test_residuals_are_of_observed_features_that_have_a_complement() -> None:
    some = batch(7, present=every_pattern())
    found = tiny_model().predict(some).extras["residuals"]
    several = some.present & (some.present.sum(dim=1, keepdim=True) > 1)
    assert torch.equal(~torch.isnan(found), several)
    assert ((found[several] >= 0) & (found[several] <= 2)).all()
    assert torch.isnan(tiny_model("late_fusion").predict(some).extras["residuals"]).all()
    # imagined features stand in for missing ones only: there is nothing to compare an observed one with
    assert torch.isnan(tiny_model("if_mmin").predict(some).extras["residuals"]).all()
