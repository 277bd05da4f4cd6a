"""Each fault does what its settings say, as often as they say, whoever stands there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from faulty import EVERYTHING, faulty_site
from mfas.core import Modality
from mfas.simulation import load_site, plan, render_presentation
from mfas.simulation.fault_draws import NOTHING, Drawn, draw_faults, dropped
from mfas.simulation.faults import (
    Blob,
    Dirt,
    DropOut,
    Faults,
    Move,
    blob_mask,
    moved,
    overexposed,
    overexposed_ir,
    smudged,
    unlit,
    with_holes,
)
from mfas.simulation.sensors import NirCamera, RgbCamera

SIZE = 96
RGB, DEPTH, IR = Modality


def _draw(number: int, frame: int = 0, *, timestamp: float = 0.0, seed: int = 0, **faults: Any) -> Drawn:
    return draw_faults(Faults.model_validate(faults), "kiosk", seed, number, frame, timestamp=timestamp, size=SIZE)


# -- what a fault does


def test_holes_are_missing_depth_of_the_size_asked_for() -> None:
    depth = with_holes(np.full((SIZE, SIZE), 700, np.uint16), [Blob(48, 48, 20)])
    assert depth.dtype == np.uint16
    assert set(np.unique(depth)) == {0, 700}
    assert (depth == 0).sum() == pytest.approx(np.pi * 10**2, rel=0.05)
    assert depth[48, 48] == 0
    assert (depth[:30] == 700).all()


def test_a_moved_image_lies_where_it_was_told() -> None:
    image = np.zeros((SIZE, SIZE), np.uint16)
    image[40:50, 40:50] = 500
    shifted = moved(image, Move(3, -2), nearest=True)
    assert (shifted[38:48, 43:53] == 500).all()
    assert shifted.sum() == image.sum()
    grown = moved(image, Move(0, 0, 1.2), nearest=True)
    assert (grown > 0).sum() == pytest.approx(100 * 1.44, rel=0.1)
    assert set(np.unique(grown)) == {0, 500}, "depths must not mix"


def test_an_over_exposed_colour_frame_has_the_factor_in_linear_light() -> None:
    camera = RgbCamera(exposure=(0.1, 0.1), exposure_error=0, vignette=0, white_balance_error=0, jpeg=(100, 100))
    grey = np.full((SIZE, SIZE, 3), 0.5, np.float32)

    def level(factor: float) -> float:
        picture = overexposed(camera, factor).expose(grey, np.random.default_rng(1), np.random.default_rng(2))
        return float((((picture / 255 + 0.055) / 1.055) ** 2.4).mean())

    assert level(3.0) / level(1.0) == pytest.approx(3, rel=0.03)
    assert level(0.5) / level(1.0) == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize("automatic", [0.0, 0.8])
def test_an_over_exposed_infrared_frame_has_the_factor(automatic: float) -> None:
    camera = NirCamera(gain=(1, 1), automatic=automatic, aim=0.2, hotspot=0)
    light = np.full((SIZE, SIZE), 0.2, np.float32)

    def level(factor: float) -> float:
        image = overexposed_ir(camera, factor).expose(
            light, light * 0, np.random.default_rng(1), np.random.default_rng(2)
        )
        return float(image.mean())

    assert level(3.0) / level(1.0) == pytest.approx(3, rel=0.03)


def test_a_frame_without_the_pulse_shows_ambient_light_alone() -> None:
    camera = NirCamera(gain=(1, 1), automatic=0.8, ambient=(0.5, 0.5), hotspot=0, read_noise=0)
    active, passive = np.full((SIZE, SIZE), 0.6, np.float32), np.full((SIZE, SIZE), 0.4, np.float32)
    held, none = unlit(camera, active, 0.0)
    image = held.expose(none, passive, np.random.default_rng(1), np.random.default_rng(2))
    assert image.mean() / 255 == pytest.approx(0.5 * 0.4, rel=0.05)
    assert unlit(camera, active, 0.25)[1].mean() == pytest.approx(0.15)


def test_a_smudge_takes_light_and_sharpness_where_it_is() -> None:
    mask = (blob_mask(SIZE, [Blob(48, 48, 40)]) > 0.2).astype(np.float32)
    dirt = Dirt(mask, loss=0.4, blur_px=3.0)
    scene = np.indices((SIZE, SIZE)).sum(axis=0).astype(np.float32) % 2
    seen = smudged(scene, dirt)
    assert seen[44:52, 44:52].mean() == pytest.approx(0.5 * 0.6, rel=0.02)
    assert seen[44:52, 44:52].std() < 0.1 * scene.std()
    assert np.array_equal(seen[:20], scene[:20])
    assert smudged(scene, dirt, passes=2)[48, 48] == pytest.approx(0.5 * 0.36, rel=0.05)
    assert smudged(np.dstack([scene] * 3), dirt)[48, 48].shape == (3,)


# -- in a capture


def test_a_dark_frame_is_darker_and_the_rest_is_untouched() -> None:
    clean, faulty = (render_presentation(faulty_site("kiosk", **f), 1, 2, 0)[1] for f in ({}, {"dark_ir": 1.0}))
    assert faulty.faults == ("dark_ir",)
    assert faulty.ir[30:80, 40:70].mean() < 0.15 * clean.ir[30:80, 40:70].mean()
    assert np.array_equal(faulty.rgb, clean.rgb)
    assert np.array_equal(faulty.depth, clean.depth)


def test_misregistration_moves_depth_and_infrared_for_the_whole_presentation() -> None:
    site = faulty_site("office", misregistration={"probability": 1.0, "shift_px": [4, 4], "scale_percent": [0, 0]})
    clean, faulty = (render_presentation(s, 1, 2, 1)[1] for s in (load_site("office"), site))
    assert np.array_equal(faulty.rgb, clean.rgb)
    first, later = (_draw(2, frame, misregistration=1.0).moves for frame in (0, 9))
    assert first == later
    assert first[DEPTH] != first[IR]
    move = draw_faults(site.faults, "office", 1, 2, 1, timestamp=0, size=112).moves[DEPTH]
    assert np.hypot(move.dx, move.dy) == pytest.approx(4)
    assert np.array_equal(faulty.depth, moved(clean.depth, move, nearest=True))


def test_dirt_stays_where_it_is_for_a_stream() -> None:
    one, two, other = (_draw(n, seed=s, lens_dirt=1.0).dirt for n, s in ((0, 0), (7, 0), (0, 1)))
    assert np.array_equal(one[RGB].mask, two[RGB].mask)
    assert not np.array_equal(one[RGB].mask, other[RGB].mask)
    assert not np.array_equal(one[RGB].mask, one[IR].mask)


def test_nothing_happens_unless_it_is_asked_for() -> None:
    assert all(load_site(name).faults == Faults() for name in ("office", "kiosk", "phone", "gate", "dev_a", "dev_b"))
    assert draw_faults(Faults(), "kiosk", 0, 0, 0, timestamp=0, size=SIZE) is NOTHING
    capture = render_presentation(load_site("kiosk"), 0, 0, 0)[1]
    assert capture.faults == ()
    assert capture.missing == frozenset()


# -- how often, and to whom


@pytest.mark.parametrize(
    ("faults", "named", "share"),
    [
        ({"dark_ir": 0.3}, "dark_ir", 0.3),
        ({"depth_holes": 0.6}, "depth_holes", 0.6),
        ({"misregistration": 0.2}, "misregistration_ir", 0.2),
        ({"exposure": {"rgb": 0.4}}, "exposure_rgb", 0.4),
        ({"exposure": {"ir": 0.1}}, "exposure_ir", 0.1),
    ],
)
def test_faults_are_as_frequent_as_told(faults: dict[str, Any], named: str, share: float) -> None:
    hits = [named in _draw(n, **faults).names for n in range(2000)]
    assert np.mean(hits) == pytest.approx(share, abs=0.035)


def test_dirt_is_as_frequent_as_told_over_seeds() -> None:
    hits = ["lens_dirt_rgb" in _draw(0, seed=s, lens_dirt={"rgb": 0.5}).names for s in range(300)]
    assert np.mean(hits) == pytest.approx(0.5, abs=0.09)


def test_exposure_jumps_either_way_within_the_range() -> None:
    factors = np.array([_draw(n, exposure={"rgb": 1.0, "factor": [2, 3]}).jumps[RGB] for n in range(300)])
    over = factors > 1
    assert 0.4 < over.mean() < 0.6
    assert 2 <= factors[over].min() < factors[over].max() <= 3
    assert 2 <= (1 / factors[~over]).min() < (1 / factors[~over]).max() <= 3


def test_drop_out_comes_in_spells_of_the_length_asked_for() -> None:
    spec = DropOut(depth=0.25, spell_s=(100, 300))
    times = np.arange(0, 60_000, 5.0)
    gone = np.array([DEPTH in dropped(spec, "kiosk", 3, float(t)) for t in times])
    assert gone.mean() == pytest.approx(0.25, abs=0.07)
    edges = np.flatnonzero(np.diff(gone.astype(int)))
    lengths = np.diff(edges) * 5.0
    assert lengths.min() >= 100 - 5
    spells = lengths[::2] if gone[edges[0] + 1] else lengths[1::2]
    assert np.median(spells) <= 300 + 5
    assert not any(dropped(spec, "kiosk", 3, float(t)) & {RGB, IR} for t in times[:500])


def test_colour_stays_when_everything_would_drop_out() -> None:
    spec = DropOut(rgb=1.0, depth=1.0, ir=1.0)
    assert dropped(spec, "kiosk", 0, 12.0) == {DEPTH, IR}
    assert dropped(DropOut(rgb=1.0, ir=1.0), "kiosk", 0, 12.0) == {RGB, IR}


def test_the_draw_knows_neither_label_nor_species() -> None:
    sites = [load_site("kiosk").model_copy(update={"bona_fide_share": share}) for share in (0.0, 1.0)]
    faults = {k: v for k, v in EVERYTHING.items() if k != "dropout"}
    drawn = []
    for site in sites:
        faulty = site.model_copy(update={"faults": Faults.model_validate(faults)})
        drawn.append([render_presentation(faulty, 4, n, 1)[1].faults for n in range(6)])
    assert drawn[0] == drawn[1]
    spec = DropOut(depth=0.4)
    plans = [plan(load_site("kiosk"), 4, n) for n in range(1500)]
    gone = np.array([bool(dropped(spec, "kiosk", 4, p.timestamp)) for p in plans])
    attack = np.array([bool(p.species) for p in plans])
    assert gone[attack].mean() == pytest.approx(gone[~attack].mean(), abs=0.08)
    for species in load_site("kiosk").species:
        assert gone[[p.species == species for p in plans]].mean() == pytest.approx(gone.mean(), abs=0.1)
