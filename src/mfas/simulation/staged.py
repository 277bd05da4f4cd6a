"""One capture of an attack whose parameters somebody has chosen: the simulator as a function to search."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from mfas.core import Label
from mfas.errors import InputError
from mfas.simulation.choices import check_values
from mfas.simulation.fault_draws import draw_faults
from mfas.simulation.faults import Faults
from mfas.simulation.heads import HeadSource
from mfas.simulation.heads.base import generator, seed_of
from mfas.simulation.presentation import PARAMETRIC, Capture, Plan, capture_of, split_of, subject_name, tone_of
from mfas.simulation.site import Site
from mfas.simulation.species import ATTACKS
from mfas.simulation.stage import Stage


def render_staged(
    site: Site,
    species: str,
    values: Mapping[str, float],
    *,
    seed: int,
    number: int = 0,
    split: str = "train",
    resolution: int | None = None,
    supersample: int = 2,
    head: HeadSource | None = None,
) -> tuple[Plan, Capture]:
    """A capture of ``species`` at ``site`` with the parameters ``values`` of `choices`; others are drawn.

    ``number`` is the scene: the victim and the presenter, two people of ``split``, and every draw that nobody chose,
    sensor noise included. The same arguments give the same pixels; two calls that differ in ``values`` alone share all
    else. Nothing fails: the site's faults are left out. ``resolution`` in place of the site's and ``supersample`` 1
    make a cheap look at the same capture. Raises `InputError` as `check_values`, and for a split with fewer than two
    people.
    """
    check_values(site, species, values)
    place = _place(site, resolution or site.resolution)
    who = _plan(place, species, values, seed, number, split)
    stage = Stage(
        site=place,
        source=head or PARAMETRIC,
        subject=who.subject,
        presenter=who.presenter,
        tone=tone_of(site, who.subject),
        presenter_tone=tone_of(site, who.presenter),
        quality=who.quality,
        seed=("staged", site.name, seed, number, species),
        chosen=values,
    )
    unfaulty = draw_faults(place.faults, site.name, seed, number, 0, timestamp=who.timestamp, size=place.resolution)
    prop = ATTACKS[species].prepare(stage)
    return who, capture_of(stage, prop, species, 0, unfaulty, supersample=supersample)


_PLACES: OrderedDict[tuple[int, int], tuple[Site, Site]] = OrderedDict()


def _place(site: Site, resolution: int) -> Site:
    """The site without faults, at ``resolution``; validated once, not for every render."""
    key = id(site), resolution
    if key not in _PLACES:
        changes = {"faults": Faults().model_dump(), "resolution": resolution}
        _PLACES[key] = site, Site.model_validate({**site.model_dump(), **changes})
        while len(_PLACES) > 4:
            _PLACES.popitem(last=False)
    return _PLACES[key][1]


def _plan(site: Site, species: str, values: Mapping[str, float], seed: int, number: int, split: str) -> Plan:
    group = [i for i in range(site.subjects) if split_of(i) == split]
    if len(group) < 2:
        raise InputError(f"expected at least two people of split '{split}' at site '{site.name}', got {len(group)}")
    rng = generator("staged", site.name, seed, number)
    victim, presenter = (int(i) for i in rng.choice(group, 2, replace=False))
    low, high = site.species[species].quality if species in site.species else (0.0, 1.0)
    quality, timestamp = float(rng.uniform(low, high)), round(float(rng.uniform(0, 7 * 86400)), 3)
    name = seed_of("staged", site.name, seed, number, species, *(f"{k}={v!r}" for k, v in sorted(values.items())))
    return Plan(
        number=number,
        presentation_id=f"{site.name}-a{name:016x}",
        label=Label.ATTACK,
        species=species,
        subject=subject_name(site, victim),
        presenter=subject_name(site, presenter),
        split=split,
        quality=values.get("quality", quality),
        timestamp=timestamp,
    )
