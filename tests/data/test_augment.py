"""Augmentation: repeatable, joint over modalities, honest about holes and gaps."""

import pytest
import torch

from mfas.card import Preprocess
from mfas.core import MODALITIES, Batch, CaptureIds, Modality
from mfas.data import augment_rgb
from mfas.data.augment import Augment, AugmentConfig

SPEC = Preprocess(size=64)
STILL = {name: 0.0 for name in AugmentConfig.model_fields if name != "enabled"}


def batch(count: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(0)
    depth = torch.rand((count, 1, 64, 64), generator=generator) * 2 - 1
    valid = (torch.rand((count, 1, 64, 64), generator=generator) > 0.1).float()
    images = {
        Modality.RGB: torch.rand((count, 3, 64, 64), generator=generator) * 4 - 2,
        Modality.DEPTH: torch.cat([depth * valid, valid], 1),
        Modality.IR: torch.rand((count, 1, 64, 64), generator=generator) * 4 - 1.5,
    }
    present = torch.ones((count, 3), dtype=torch.bool)
    present[1] = torch.tensor([True, False, False])
    present[2] = torch.tensor([False, True, True])
    images = {m: x * present[:, i].view(-1, 1, 1, 1) for i, (m, x) in enumerate(images.items())}
    return Batch(images, present, CaptureIds.anonymous(count))


def test_nothing_switched_on_changes_nothing() -> None:
    given = batch()
    out = Augment(SPEC, 0, AugmentConfig(**STILL))(given)
    for modality in MODALITIES:
        assert torch.allclose(out.images[modality], given.images[modality], atol=2e-4)


def test_a_seed_repeats_a_run_and_the_input_is_left_alone() -> None:
    given, copy = batch(), batch()
    one, two, other = Augment(SPEC, 3), Augment(SPEC, 3), Augment(SPEC, 4)
    first = [one(given), one(given)]
    second = [two(given), two(given)]
    for modality in MODALITIES:
        assert torch.equal(given.images[modality], copy.images[modality])
        for a, b in zip(first, second, strict=True):
            assert torch.equal(a.images[modality], b.images[modality])
        assert not torch.equal(first[0].images[modality], first[1].images[modality])
        assert not torch.equal(first[0].images[modality], other(given).images[modality])


def test_leaving_a_modality_out_does_not_change_the_others() -> None:
    given = batch()
    fewer = Batch({m: given.images[m] for m in (Modality.DEPTH, Modality.IR)}, given.present, given.ids)
    whole, part = Augment(SPEC, 3)(given), Augment(SPEC, 3)(fewer)
    assert all(torch.equal(part.images[m], whole.images[m]) for m in part.images)


def test_ranges_holes_and_gaps_hold() -> None:
    out = Augment(SPEC, 1)(batch(32))
    rgb, depth, ir = (out.images[m] for m in MODALITIES)
    assert rgb.abs().max() <= 2.0 + 1e-5
    assert depth[:, 0].abs().max() <= 1.0
    assert set(depth[:, 1].unique().tolist()) <= {0.0, 1.0}
    assert not depth[:, 0][depth[:, 1] == 0].any()
    assert ir.min() >= (0 - SPEC.ir_mean) / SPEC.ir_std - 1e-5
    assert ir.max() <= (SPEC.ir_clip - SPEC.ir_mean) / SPEC.ir_std + 1e-5
    assert not rgb[2].any()
    assert not depth[1].any()
    assert not ir[1].any()
    assert all(bool(torch.isfinite(x).all()) for x in out.images.values())


@pytest.mark.parametrize("name", ["flip", "rotate_deg", "scale", "translate"])
def test_geometry_is_the_same_for_the_three_images(name: str) -> None:
    """One blob in all three images stays one blob."""
    size = {"flip": 1.0, "rotate_deg": 30.0, "scale": 0.3, "translate": 0.2}[name]
    blob = torch.zeros((4, 1, 64, 64))
    blob[:, :, 12:30, 34:56] = 1.0
    images = {
        Modality.RGB: blob.repeat(1, 3, 1, 1) * 4 - 2,
        Modality.DEPTH: torch.cat([blob * 0.5, torch.ones_like(blob)], 1),
        Modality.IR: blob * 2 - 1,
    }
    given = Batch(images, torch.ones((4, 3), dtype=torch.bool), CaptureIds.anonymous(4))
    out = Augment(SPEC, 5, AugmentConfig(**(STILL | {name: size})))(given)
    rgb, depth, ir = (
        out.images[Modality.RGB][:, 0] > 0,
        out.images[Modality.DEPTH][:, 0] > 0.25,
        out.images[Modality.IR][:, 0] > 0,
    )
    assert not torch.equal(rgb, blob[:, 0] > 0)
    assert torch.equal(rgb, ir)
    assert (rgb != depth).float().mean() < 0.01


def test_a_flip_is_exact() -> None:
    given = batch()
    out = Augment(SPEC, 0, AugmentConfig(**(STILL | {"flip": 1.0})))(given)
    for modality in MODALITIES:
        assert torch.allclose(out.images[modality], given.images[modality].flip(-1), atol=2e-4)


def test_grey_stays_grey_under_hue_and_saturation() -> None:
    grey = torch.rand((4, 1, 64, 64), generator=torch.Generator().manual_seed(1)).repeat(1, 3, 1, 1) * 2 - 1
    given = Batch({Modality.RGB: grey}, torch.tensor([[True, False, False]] * 4), CaptureIds.anonymous(4))
    out = Augment(SPEC, 0, AugmentConfig(**(STILL | {"hue": 0.5, "saturation": 0.5})))(given)
    assert torch.allclose(out.images[Modality.RGB], grey, atol=1e-3)


HARSH = {"rgb_cast": 0.3, "rgb_gamma": 0.4, "rgb_blur_px": 2.0, "rgb_coarse": 0.7, "rgb_blocks": 1.0}


@pytest.mark.parametrize("name", [*HARSH, "rgb_occlusion"])
def test_what_ordinary_cameras_do_is_off_unless_told_and_then_does_something(name: str) -> None:
    assert getattr(AugmentConfig(), name) == 0
    given = batch()
    out = Augment(SPEC, 0, AugmentConfig(**(STILL | {name: HARSH.get(name, 1.0)})))(given)
    change = (out.images[Modality.RGB] - given.images[Modality.RGB]).abs()[given.present[:, 0]]
    assert float(change.mean()) > 0.01
    assert float(out.images[Modality.RGB].abs().max()) <= 2.0 + 1e-5
    assert not out.images[Modality.RGB][~given.present[:, 0]].any()
    for modality in (Modality.DEPTH, Modality.IR):
        assert torch.allclose(out.images[modality], given.images[modality], atol=2e-4)


def test_a_patch_over_infrared_is_one_level_for_each_capture_and_leaves_the_rest_alone() -> None:
    assert AugmentConfig().ir_occlusion == 0
    given = batch(32)
    out = Augment(SPEC, 0, AugmentConfig(**(STILL | {"ir_occlusion": 0.5})))(given)
    changed = (out.images[Modality.IR] - given.images[Modality.IR]).abs() > 1e-3
    levels = [len(x[at].mul(1e4).round().unique()) for x, at in zip(out.images[Modality.IR], changed, strict=True)]
    assert set(levels) == {0, 1}
    assert 8 <= levels.count(1) <= 24
    low, high = -SPEC.ir_mean / SPEC.ir_std, (SPEC.ir_clip - SPEC.ir_mean) / SPEC.ir_std
    assert low - 1e-5 <= float(out.images[Modality.IR].min())
    assert float(out.images[Modality.IR].max()) <= high + 1e-5
    assert not out.images[Modality.IR][~given.present[:, 2]].any()
    for modality in (Modality.RGB, Modality.DEPTH):
        assert torch.allclose(out.images[modality], given.images[modality], atol=2e-4)


def ramp(count: int = 4) -> torch.Tensor:
    axis = torch.linspace(0.2, 0.8, 64)
    return (axis.view(1, 1, 1, -1) * 0.5 + axis.view(1, 1, -1, 1) * 0.5).repeat(count, 3, 1, 1)


def test_block_noise_lies_on_a_grid_of_eight() -> None:
    """Steps of a smooth ramp gather at the seams of blocks, and nowhere else."""
    out = augment_rgb.compress(ramp(), 1.0, torch.Generator().manual_seed(0))
    step = (out - ramp()).diff(dim=-1).abs().mean(dim=(0, 1, 2))
    by_phase = torch.stack([step[k::8].mean() for k in range(8)])
    assert by_phase.max() > 3 * by_phase.median()
    assert float((out - ramp()).abs().mean()) < 0.05


def test_blur_and_lost_resolution_keep_smooth_things_and_take_fine_ones() -> None:
    stripes = torch.zeros(6, 3, 64, 64)
    stripes[..., ::2] = 1.0
    for change in (augment_rgb.defocus, augment_rgb.coarsen):
        strength = 3.0 if change is augment_rgb.defocus else 0.9
        generator = torch.Generator().manual_seed(1)
        assert float((change(ramp(6), strength, generator) - ramp(6)).abs()[..., 8:-8, 8:-8].max()) < 0.01
        assert float(change(stripes, strength, generator).std()) < 0.45
