from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mfas.simulation import Capture, Site, load_site, plan, render_presentation
from mfas.simulation.geometry import Floats
from mfas.simulation.heads import FaceState, ParametricHead
from mfas.simulation.raster import Camera
from mfas.simulation.scene import View, render
from mfas.simulation.species import ATTACKS, LIVE
from mfas.simulation.species._material import infrared, painted
from mfas.simulation.species._spectacles import SHARE, spectacles
from mfas.simulation.stage import Moment, Prop, Stage
from mfas.simulation.surroundings import draw_light

SOURCE = ParametricHead()


def _site(changes: Mapping[str, Any]) -> Site:
    return Site.model_validate({**load_site("office").model_dump(mode="json"), **changes})


def _attacks(name: str, quality: float) -> Site:
    return _site({"bona_fide_share": 0.0, "species": {name: {"share": 1.0, "quality": [quality, quality]}}})


def _stage(quality: float, number: int = 0, subject: str = "victim", presenter: str = "attacker") -> Stage:
    return Stage(_site({}), SOURCE, subject, presenter, 2, 2, quality, ("test", number))


def _view(prop: Prop, stage: Stage, face: FaceState | None = None) -> View:
    moment = Moment(np.eye(3, dtype=np.float32), (0.0, 0.0, 700.0), face or FaceState())
    return render(list(prop.parts(moment)), Camera(300.0, 56.0, 50.0, 112), draw_light(stage.site, stage.rng("light")))


def _eye_patches(prop: Prop, moment: Moment) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Pixels within 30 x 22 mm of where the presenter's eyes are."""
    camera = Camera(300.0, 56.0, 50.0, 112)
    rows, columns = np.mgrid[:112, :112]
    near = np.zeros((112, 112), bool)
    for side in (-31.5, 31.5):
        x, y = camera.project(np.array([[side, 0.0, 615.0]], np.float32))[0]
        near |= (np.abs(columns - x) < 30 * 300 / 615 / 2) & (np.abs(rows - y) < 22 * 300 / 615 / 2)
    return near


def _relief(capture: Capture) -> float:
    """Depth left in the face after a quadratic surface is taken out, mm."""
    x, y, w, h = capture.box
    patch = capture.depth[y + h // 5 : y + 4 * h // 5, x + w // 5 : x + 4 * w // 5].astype(float)
    rows, columns = np.nonzero(patch)
    r, c = rows / 30 - 1, columns / 30 - 1
    design = np.stack([np.ones_like(r), r, c, r * c, r * r, c * c], -1)
    values = patch[rows, columns]
    rest = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return float(np.percentile(rest, 95) - np.percentile(rest, 5))


def _measures(capture: Capture) -> dict[str, float]:
    """Physical quantities of the middle of the face: relief, infrared level, evenness, redness, holes."""
    x, y, w, h = capture.box
    middle = np.s_[y + h // 4 : y + 3 * h // 4, x + w // 4 : x + 3 * w // 4]
    depth, ir, rgb = (a[middle].astype(float) for a in (capture.depth, capture.ir, capture.rgb))
    distance = float(np.median(depth[depth > 0])) if (depth > 0).any() else 1.0
    return {
        "relief": _relief(capture),
        "infrared": float(np.median(ir)) * (distance / 600) ** 2,
        "infrared spread": float(ir.std() / (ir.mean() + 1)),
        "red": float((rgb[..., 0] / (rgb[..., 1] + 1)).mean()),
        "colour spread": float((rgb[..., 0] / (rgb[..., 1] + 1)).std()),
        "holes": float((depth == 0).mean()),
    }


@pytest.fixture(scope="module")
def living() -> list[dict[str, float]]:
    site = _site({"bona_fide_share": 1.0})
    return [_measures(render_presentation(site, 3, n, 0)[1]) for n in range(24)]


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_a_careless_attack_stands_out_in_one_frame(living: list[dict[str, float]], name: str) -> None:
    site = _attacks(name, 0.0)
    found = [_measures(render_presentation(site, 3, n, 0)[1]) for n in range(8)]
    away = {}
    for key in living[0]:
        people = np.array([line[key] for line in living])
        low, high = np.percentile(people, [25, 75])
        away[key] = abs(np.median([line[key] for line in found]) - np.median(people)) / (high - low + 1e-3)
    assert max(away.values()) > 0.7, away


def _life(prop: Prop, stage: Stage) -> tuple[float, float]:
    """How much depth moves with an expression (mm), and infrared about the eyes with the gaze."""
    mood = np.array([0.9, 0.3, 0, 0.9, 0, 0.9, 0, 0.8], np.float32)
    still, moved = _view(prop, stage), _view(prop, stage, FaceState(mood))
    left, right = (_view(prop, stage, FaceState(gaze=(side, 0.0))) for side in (-1.0, 1.0))
    face = np.s_[30:85, 36:76]
    eyes = _eye_patches(prop, Moment(np.eye(3, dtype=np.float32), (0.0, 0.0, 700.0), FaceState()))
    return (
        float(np.clip(np.abs(still.z - moved.z)[face], 0, 15).mean()),
        float((np.abs(left.active - right.active)[eyes] > 0.02).sum()),
    )


@pytest.mark.parametrize("quality", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_every_species_renders_and_lacks_life(name: str, quality: float) -> None:
    stages = [_stage(quality, n) for n in range(4)]
    fake = np.array([_life(ATTACKS[name].prepare(stage), stage) for stage in stages])
    real = np.array([_life(LIVE.prepare(stage), stage) for stage in stages])
    assert np.isfinite(fake).all()
    share = np.median(fake, axis=0) / np.median(real, axis=0)
    assert share.min() < 0.75, share


def test_a_quarter_of_the_people_wear_spectacles_always_the_same() -> None:
    people = [f"person-{i}" for i in range(400)]
    wearing = [who for who in people if spectacles(SOURCE.head(who), who)]
    assert len(wearing) / 400 == pytest.approx(SHARE, abs=0.06)
    first, again = (spectacles(SOURCE.head(wearing[0]), wearing[0]) for _ in range(2))
    assert all(np.array_equal(a.mesh.vertices, b.mesh.vertices) and np.array_equal(a.texture, b.texture)
               for a, b in zip(first, again, strict=True))  # fmt: skip
    site = _site({"bona_fide_share": 1.0})
    numbers = [n for n in range(200) if plan(site, 1, n).subject == plan(site, 1, 0).subject]
    worn = {len(LIVE.prepare(_stage(1.0, n, plan(site, 1, n).subject)).worn) for n in numbers}  # type: ignore[attr-defined]
    assert len(numbers) > 1
    assert len(worn) == 1


def test_lenses_are_seen_through_and_glint() -> None:
    who = next(f"person-{i}" for i in range(40) if spectacles(SOURCE.head(f"person-{i}"), f"person-{i}"))
    stage = _stage(1.0, subject=who)
    prop = LIVE.prepare(stage)
    with_them = _view(prop, stage)
    bare = _view(replace(prop, worn=()), stage)  # type: ignore[type-var]
    changed = np.abs(with_them.rgb - bare.rgb).max(axis=2) > 0.02
    assert 0.005 < changed.mean() < 0.2
    eyes = _eye_patches(prop, Moment(np.eye(3, dtype=np.float32), (0.0, 0.0, 700.0), FaceState()))
    assert np.median(np.abs(with_them.z - bare.z)[eyes]) < 8
    assert (with_them.active - bare.active)[eyes].max() > 0.1


@pytest.mark.parametrize("name", ["glasses", "partial_paper"])
def test_what_covers_a_part_leaves_the_rest_alive(name: str) -> None:
    for number in range(4):
        stage = _stage(0.5, number)
        prop = ATTACKS[name].prepare(stage)
        smile = np.array([0.8, 0.6, 0, 0.7, 0, 0.5, 0, 0.5], np.float32)
        view, moved = _view(prop, stage), _view(prop, stage, FaceState(smile))
        own = (view.part == 0) & (moved.part == 0)
        covered = view.part >= 2
        face = np.s_[30:80, 40:72]
        assert 0.03 < covered[face].mean() < 0.9
        assert own[face].mean() > 0.1
        assert np.abs(view.z - moved.z)[own].max() > 2
        still = covered & (moved.part == view.part)
        assert np.abs(view.z - moved.z)[still].max() < 0.1


def test_a_cut_print_shows_eyes_that_move_and_nothing_else_does() -> None:
    stage = next(s for s in (_stage(1.0, n) for n in range(20)) if "mouth" not in _cut(s) and "nose" not in _cut(s))
    prop = ATTACKS["print_cut"].prepare(stage)
    left, right = (_view(prop, stage, FaceState(gaze=(side, 0.0))) for side in (-1.0, 1.0))
    moved = np.abs(left.rgb - right.rgb).max(axis=2) > 0.01
    eyes = _eye_patches(prop, Moment(np.eye(3, dtype=np.float32), (0.0, 0.0, 700.0), FaceState()))
    assert moved.sum() > 10
    assert moved[~eyes].sum() == 0
    # in infrared and in depth the eyes are the attacker's too: they lie behind the paper
    names = [part.name for part in prop.parts(Moment(np.eye(3, dtype=np.float32), (0.0, 0.0, 700.0), FaceState()))]
    seen = (left.part == names.index("presenter")) & eyes
    assert seen.sum() > 10
    assert np.median(left.z[seen]) > np.median(left.z[(left.part == 0) & eyes])


def _cut(stage: Stage) -> list[str]:
    texture = ATTACKS["print_cut"].prepare(stage).texture  # type: ignore[attr-defined]
    holes = texture[..., 5] < 0.5
    rows = np.nonzero(holes.any(axis=1))[0]
    return ["mouth"] * int(np.ptp(rows) > 0.15 * len(holes)) + ["nose"] * int(np.ptp(rows) > 0.1 * len(holes))


def test_a_mask_carries_the_victim_on_the_attackers_head() -> None:
    stage = _stage(1.0, subject="somebody", presenter="somebody else")
    prop = ATTACKS["mask_rigid"].prepare(stage)
    view = _view(prop, stage)
    mask, own = view.part == 0, view.part == 1
    assert mask[35:75, 45:67].mean() > 0.8
    assert own.sum() > 50
    vertices = prop.mesh.vertices  # type: ignore[attr-defined]
    victim, attacker = (SOURCE.head(who, tone=2).mesh.vertices for who in ("somebody", "somebody else"))
    front = victim[:, 2] > 60
    assert np.abs(vertices - victim)[front].mean() < np.abs(vertices - attacker)[front].mean() + 5


def _gap(name: str, quality: float) -> float:
    """How far a mask stands off the presenter's face, mm."""
    stage = _stage(quality)
    mesh = ATTACKS[name].prepare(stage).mesh  # type: ignore[attr-defined]
    own = SOURCE.head("attacker", tone=2).mesh.vertices
    front = own[:, 2] > 70
    return float((mesh.vertices - own)[front, 2].mean())


@pytest.mark.parametrize("name", ["mask_paper", "mask_rigid", "mask_silicone"])
def test_careless_masks_are_thicker(name: str) -> None:
    assert _gap(name, 0.0) > _gap(name, 0.5) > _gap(name, 1.0)


def _unlike_skin(name: str, quality: float, channel: int) -> float:
    """Mean distance of a mask's infrared albedo from skin's, or its mean gloss (channel 4)."""
    texture = [ATTACKS[name].prepare(_stage(quality, n)).texture for n in range(6)]  # type: ignore[attr-defined]
    skin = SOURCE.head("victim", tone=2)
    face = skin.regions["face"] > 0.5
    level = np.median(skin.texture[face][:, 3]) if channel == 3 else 0.0
    return float(np.mean([np.abs(np.median(t[face][:, channel]) - level) for t in texture]))


@pytest.mark.parametrize("channel", [3, 4])
@pytest.mark.parametrize("name", ["mask_rigid", "mask_silicone", "fake_head"])
def test_careful_material_is_nearer_to_skin(name: str, channel: int) -> None:
    levels = [_unlike_skin(name, quality, channel) for quality in (0.0, 0.5, 1.0)]
    assert levels[0] > levels[1] > levels[2]


def test_paint_is_more_even_than_skin() -> None:
    head = SOURCE.head("victim", tone=1)
    cheek = (head.regions["face"] > 0.5) & (head.regions["eyes"] == 0) & (head.regions["mouth"] == 0)

    def unevenness(texture: Floats) -> float:
        return float((texture[..., 0] / texture[..., 1])[cheek].std())

    careless, careful = (
        painted(head, np.random.default_rng(1), mottling=m, blur=0.3, cast=0.0) for m in (0.0, 0.75)
    )  # fmt: skip
    assert unevenness(careless) < unevenness(careful) < unevenness(head.texture)
    bulk = infrared(head, np.random.default_rng(1), unlike=1.0, shown=0.0)
    assert bulk.std() < 1e-6


def _screen(quality: float, number: int) -> tuple[float, float, float]:
    """Distance of brightness from the common one, how much of the picture the shown face fills, ripple."""
    prop = ATTACKS["replay_lcd"].prepare(_stage(quality, number))
    light = prop.sheet.texture[..., 1]  # type: ignore[attr-defined]
    box = prop.sheet.box  # type: ignore[attr-defined]
    return abs(float(np.log(np.percentile(light, 95)))), box[3] - box[1], float(np.abs(np.diff(light[:40, :40])).mean())


def test_careful_screens_are_matched_large_and_quiet() -> None:
    careless, careful = (np.mean([_screen(q, n) for n in range(12)], axis=0) for q in (0.0, 1.0))
    assert (careless > careful).all()


def test_open_eyes_reflect_the_emitter() -> None:
    stage = _stage(1.0)
    prop = replace(LIVE.prepare(stage), worn=())  # type: ignore[type-var]
    eyes = _eye_patches(prop, Moment(np.eye(3, dtype=np.float32), (0.0, 0.0, 700.0), FaceState()))
    for lids, shines in ((1.0, True), (0.1, False)):
        face = FaceState(lids=lids)
        added = _view(prop, stage, face).active - _view(replace(prop, eyes=None), stage, face).active  # type: ignore[type-var]
        assert (added[eyes].max() > 0.1) == shines
        assert np.abs(added[~eyes]).max() < 1e-6
