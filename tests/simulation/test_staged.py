"""Chosen attacks: in range, repeatable, each choice to be seen, and without choices the simulator as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mfas.core import Label
from mfas.errors import InputError
from mfas.simulation import Capture, choices, load_site, render_staged
from mfas.simulation.presentation import split_of
from mfas.simulation.species import species_names

SITE = load_site("dev_a")
CHEAP: dict[str, Any] = {"resolution": 48, "supersample": 1}


def middle(species: str) -> dict[str, float]:
    return {choice.name: (choice.low + choice.high) / 2 for choice in choices(SITE, species)}


def shot(species: str, values: dict[str, float], number: int = 0, **more: Any) -> Capture:
    return render_staged(SITE, species, values, seed=5, number=number, **{**CHEAP, **more})[1]


def same(one: Capture, two: Capture) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ("rgb", "depth", "ir"))


@pytest.mark.parametrize("species", species_names())
def test_every_choice_is_seen_by_a_sensor(species: str) -> None:
    values = middle(species) | {"quality": 1.0, "azimuth_deg": 20.0, "bend_per_mm": 0.001}
    values = {name: value for name, value in values.items() if name in middle(species)}
    if "gloss" in values:
        values |= {"gloss": 0.4}
    before = shot(species, values)
    assert same(before, shot(species, values))
    for choice in choices(SITE, species):
        other = choice.low if values[choice.name] > (choice.low + choice.high) / 2 - 1e-9 else choice.high
        changed = values | {choice.name: other}
        # a mirror is seen where a lamp stands in it only: not in every scene
        assert not same(before, shot(species, changed)) or any(
            not same(shot(species, values, number), shot(species, changed, number)) for number in range(1, 9)
        ), choice.name


def _drawn(species: str, numbers: range, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, dict[str, float]]]:
    from mfas.simulation import stage

    plain = stage.Stage.choose

    for number in numbers:
        seen: dict[str, float] = {}

        def choose(self: stage.Stage, name: str, drawn: float, seen: dict[str, float] = seen) -> float:
            seen[name] = float(plain(self, name, drawn))
            return plain(self, name, drawn)

        monkeypatch.setattr(stage.Stage, "choose", choose)
        plan, _ = render_staged(SITE, species, {}, seed=5, number=number, **CHEAP)
        monkeypatch.setattr(stage.Stage, "choose", plain)
        yield number, seen | {"quality": plan.quality}


@pytest.mark.parametrize("species", species_names())
def test_what_is_drawn_lies_in_the_ranges_and_choosing_it_changes_nothing(
    species: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = {choice.name: (choice.low, choice.high) for choice in choices(SITE, species)}
    outside = 0
    for number, drawn in _drawn(species, range(5), monkeypatch):
        assert drawn.keys() <= ranges.keys()
        out = {name for name, value in drawn.items() if not ranges[name][0] <= value <= ranges[name][1]}
        # what is drawn from a normal distribution may lie outside now and then
        assert out <= {"bend_per_mm", "bend_axis_deg", "face_scale", "brightness", "paint_depth", "paint_warmth"}
        outside += len(out)
        values = {name: value for name, value in drawn.items() if name not in out}
        assert same(shot(species, {}, number), shot(species, values, number))
    assert outside <= 3


def test_a_staged_attack_is_a_presentation_of_two_people_of_the_split() -> None:
    values = middle("print_flat")
    for split in ("train", "validation", "test"):
        plan, capture = render_staged(SITE, "print_flat", values, seed=1, number=3, split=split, **CHEAP)
        assert (plan.label, plan.species, plan.split) == (Label.ATTACK, "print_flat", split)
        assert plan.subject != plan.presenter
        assert {split_of(int(name.rpartition("-s")[2])) for name in (plan.subject, plan.presenter)} == {split}
        assert capture.rgb.shape == (48, 48, 3)
    first, other = (
        render_staged(SITE, "print_flat", values | {"carbon": c}, seed=1, **CHEAP)[0] for c in (0.1, 0.2)
    )  # fmt: skip
    assert first.presentation_id != other.presentation_id
    assert first.subject == other.subject


def test_scenes_differ_and_faults_stay_away() -> None:
    faulty = SITE.model_copy(update={"faults": SITE.faults.model_validate({"dropout": {"ir": 1.0}})})
    values = middle("mask_rigid")
    _, capture = render_staged(faulty, "mask_rigid", values, seed=1, **CHEAP)
    assert not capture.missing
    assert same(capture, render_staged(SITE, "mask_rigid", values, seed=1, **CHEAP)[1])
    assert not same(capture, render_staged(SITE, "mask_rigid", values, seed=1, number=1, **CHEAP)[1])
    assert not same(capture, render_staged(SITE, "mask_rigid", values, seed=2, **CHEAP)[1])


def test_carbon_ink_shows_the_face_in_infrared_and_dye_hides_it() -> None:
    values = middle("print_flat") | {"gloss": 0.0, "ambient": SITE.light.ambient[0]}
    spread = [
        float(np.std(shot("print_flat", values | {"carbon": carbon}, resolution=112).ir[38:74, 38:74].astype(float)))
        for carbon in (0.02, 1.0)
    ]
    assert spread[1] > 1.5 * spread[0]


def test_a_site_of_one_value_leaves_nothing_to_choose() -> None:
    fixed = SITE.model_copy(update={"distance_mm": (500.0, 500.0)})
    names = {choice.name for choice in choices(fixed, "replay_oled")}
    assert "distance_mm" not in names
    assert "moire" in names
    narrow = SITE.model_validate(
        {**SITE.model_dump(), "species": {"replay_oled": {"share": 1.0, "quality": (0.7, 0.9)}}}
    )
    (quality,) = (choice for choice in choices(narrow, "replay_oled") if choice.name == "quality")
    assert (quality.low, quality.high) == (0.7, 0.9)


def test_bad_choices_are_one_sentence() -> None:
    with pytest.raises(InputError, match="unknown species 'hologram'"):
        choices(SITE, "hologram")
    with pytest.raises(InputError, match="got 'mould'"):
        shot("print_flat", {"mould": 0.5})
    with pytest.raises(InputError, match=r"expected 'carbon' of print_flat in \[0.02, 1\], got 1.5"):
        shot("print_flat", {"carbon": 1.5})
    alone = SITE.model_copy(update={"subjects": 5})
    with pytest.raises(InputError, match="at least two people of split 'validation'"):
        render_staged(alone, "print_flat", {}, seed=0, split="validation")
