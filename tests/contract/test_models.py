"""One suite over every registered model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mfas._files import sha256
from mfas.card import Card
from mfas.core import MODALITIES, Batch, CaptureIds, Modality
from mfas.errors import ConfigError, InputError, ModelDirError
from mfas.models import registry
from mfas.models.contract import LossStep
from mfas.models.store import load_model, save_model
from mfas.models.vit_shared import SharedVit, VitOptions
from toys import SPEC, TINY, TINY_VIT, batch, card, every_pattern, target_of, tiny_model, trained


@pytest.fixture(params=registry.names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_scores_every_pattern_mixed_in_one_batch(name: str) -> None:
    prediction = tiny_model(name).predict(batch(7, present=every_pattern()))
    assert prediction.score.shape == (7,)
    assert bool(((prediction.score >= 0) & (prediction.score <= 1)).all())
    assert torch.equal(prediction.modality_scores.isnan(), ~every_pattern())
    assert bool(((prediction.uncertainty >= 0) & (prediction.uncertainty <= 1)).all())


def test_score_does_not_depend_on_companions(name: str) -> None:
    model, whole = tiny_model(name), batch(7, present=every_pattern())
    together = model.predict(whole)
    for row in range(7):
        alone = model.predict(whole.select(torch.tensor([row])))
        assert float((alone.score - together.score[row]).abs()) < 1e-5
        assert float((alone.uncertainty - together.uncertainty[row]).abs()) < 1e-4


def test_absent_pixels_are_never_read(name: str) -> None:
    model, clean = tiny_model(name), batch(7, present=every_pattern())
    dirty = {m: x.clone() for m, x in clean.images.items()}
    for column, modality in enumerate(MODALITIES):
        dirty[modality][~clean.present[:, column]] = 1e6
    score = model.predict(Batch(dirty, clean.present, clean.ids)).score
    assert torch.equal(score, model.predict(clean).score)


def test_a_modality_nobody_has_may_be_left_out(name: str) -> None:
    present = torch.tensor([[True, False, False]] * 3)
    full = batch(3, present=present)
    only = Batch({Modality.RGB: full.images[Modality.RGB]}, present, full.ids)
    assert torch.equal(tiny_model(name).predict(only).score, tiny_model(name).predict(full).score)


def test_lower_then_upper_is_forward(name: str) -> None:
    model, some = tiny_model(name), batch(7, present=every_pattern())
    with torch.no_grad():
        whole, parts = model(some), model.upper(model.lower(some), some.present)
    assert torch.equal(whole.logit, parts.logit)
    assert torch.equal(whole.modality_logits, parts.modality_logits)


def test_training_lowers_the_loss_and_reaches_every_parameter(name: str) -> None:
    model = tiny_model(name).train()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    first = last = 0.0
    for step in range(25):
        loss = model.training_loss(batch(16, seed=step), target_of(16), LossStep(generator))
        optimiser.zero_grad()
        loss.backward()
        if step == 0:
            first = float(loss.detach())
            still = {id(p) for module in model.frozen_modules() for p in module.parameters()}
            assert [n for n, p in model.named_parameters() if (p.grad is None) != (id(p) in still)] == []
        optimiser.step()
        last = float(loss.detach())
    assert last < 0.7 * first


def test_upper_modules_hold_parameters_of_one_modality_only(name: str) -> None:
    model = tiny_model(name)
    sets = [{id(p) for r in model.upper_modules(m) for p in r.parameters()} for m in MODALITIES]
    assert all(sets)
    assert not sets[0] & sets[1]
    assert not sets[1] & sets[2]


def test_saved_and_loaded_scores_are_identical(name: str, tmp_path: Path) -> None:
    model, some = tiny_model(name, seed=3), batch(7, present=every_pattern())
    written = save_model(model, card(name), tmp_path)
    loaded, read = load_model(tmp_path)
    assert read == written
    assert torch.equal(loaded.predict(some).score, model.predict(some).score)


def test_a_card_needs_no_file_that_training_began_with(name: str, tmp_path: Path) -> None:
    if "vit" not in registry.model_class(name).Architecture.model_fields:
        pytest.skip(f"{name} has no weights to begin with")
    options, file = VitOptions.model_validate(TINY_VIT), tmp_path / "vit.safetensors"
    save_file(SharedVit(SPEC, options).state_dict(), file)
    model = registry.create(name, SPEC, {"vit": {**TINY_VIT, "weights": file, "sha256": sha256(file)}}).eval()
    save_model(model, card(name).model_copy(update={"architecture": model.stored_architecture()}), tmp_path / "m")
    file.unlink()
    some = batch(7, present=every_pattern())
    assert torch.equal(load_model(tmp_path / "m")[0].predict(some).score, model.predict(some).score)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_pixels_are_refused(name: str, bad: float) -> None:
    some = batch(2)
    some.images[Modality.IR][1, 0, 3, 3] = bad
    with pytest.raises(InputError, match="finite ir"):
        tiny_model(name).predict(some)


def test_a_capture_with_nothing_is_refused(name: str) -> None:
    some = Batch(batch(2).images, torch.zeros(2, 3, dtype=torch.bool), CaptureIds.anonymous(2))
    with pytest.raises(InputError, match="at least one modality"):
        tiny_model(name).predict(some)


@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("resnet18", {"width": 16}),
        ("vit", {"dim": 32, "depth": 2, "patch": 8}),
        ("compact", {"width": 16, "norm": "batch"}),
    ],
)
def test_other_backbones_fit(name: str, backbone: str, options: dict[str, Any]) -> None:
    if "backbone" not in registry.model_class(name).Architecture.model_fields:
        pytest.skip(f"{name} has no choice of backbone")
    model = registry.create(name, SPEC, {"backbone": backbone, "backbone_options": options}).eval()
    assert model.predict(batch(7, present=every_pattern())).score.shape == (7,)


def needs_choice_of_norm(name: str) -> None:
    if "backbone_options" not in registry.model_class(name).Architecture.model_fields:
        pytest.skip(f"{name} has no choice of normalisation")


def test_batch_norm_learns_from_observed_captures_only(name: str) -> None:
    """In training mode too, what stands where nothing was observed reaches neither scores nor running statistics."""
    needs_choice_of_norm(name)
    clean = batch(14, present=every_pattern().repeat(2, 1))
    dirty = {m: x.clone() for m, x in clean.images.items()}
    for column, modality in enumerate(MODALITIES):
        dirty[modality][~clean.present[:, column]] = 1e6
    states = []
    for images in (clean.images, dirty):
        model = tiny_model(name, norm="batch").train()
        loss = model.training_loss(
            Batch(images, clean.present, clean.ids), target_of(14), LossStep(torch.Generator().manual_seed(0))
        )
        loss.backward()
        slopes = {f"slope.{n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
        states.append({**model.state_dict(), **slopes})
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    fresh = tiny_model(name, norm="batch").state_dict()
    moved = [key for key, value in fresh.items() if key.endswith("running_mean") and not states[0][key].equal(value)]
    assert len([key for key in moved if key.startswith("trunks.")]) == 7 * len(MODALITIES)
    assert all(key.startswith("trunks.") for key in moved), "a teacher's copies keep their statistics"


def test_batch_norm_scores_a_capture_on_its_own_once_trained(name: str) -> None:
    needs_choice_of_norm(name)
    model, whole = trained(name, steps=4, norm="batch"), batch(7, present=every_pattern())
    together = model.predict(whole)
    for row in range(7):
        alone = model.predict(whole.select(torch.tensor([row])))
        assert float((alone.score - together.score[row]).abs()) < 1e-5


def test_the_default_norm_is_what_it_was() -> None:
    """Names, shapes and the draw of initial weights: what was trained before there was a choice loads as it is."""
    assert tiny_model(norm="group").state_dict().keys() == tiny_model().state_dict().keys()
    plain = registry.create("late_fusion", SPEC, {"backbone_options": {"width": 16}}).state_dict()
    assert not any("running" in key for key in plain)
    assert plain["trunks.encoders.rgb.low.0.norm.weight"].shape == (16,)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="late_fusion"):
        registry.create("no_such_model", SPEC)
    with pytest.raises(ConfigError, match="no_such_key"):
        registry.create("mfas_danet", SPEC, {"no_such_key": 1})
    with pytest.raises(ConfigError, match="no_such_net"):
        registry.create("mfas_danet", SPEC, {"backbone": "no_such_net"})
    with pytest.raises(ConfigError, match="expected norm as group or batch, got 'layer'"):
        registry.create("mfas_danet", SPEC, {"backbone_options": {"norm": "layer"}})
    with pytest.raises(ConfigError, match="expected keys of resnet18 out of width, got 'norm'"):
        registry.create("mfas_danet", SPEC, {"backbone": "resnet18", "backbone_options": {"norm": "batch"}})


def test_a_changed_byte_is_refused(tmp_path: Path) -> None:
    save_model(tiny_model(), card(), tmp_path)
    weights = tmp_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(ModelDirError, match="does not match its card"):
        load_model(tmp_path)


def test_weights_of_another_shape_are_refused_by_name(tmp_path: Path) -> None:
    written = save_model(tiny_model(), card(), tmp_path)
    other = {**TINY, "fused_hidden": 7}
    Card.model_validate({**written.model_dump(), "architecture": other}).write(tmp_path)
    with pytest.raises(ModelDirError, match=r"expected 'fused\.0\.weight'"):
        load_model(tmp_path)
