"""The kinds of perturbation by name: what may change, by how much, and what it is optimised for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from mfas.audit import objectives
from mfas.audit.ascent import AscentSettings, Found, Objective, ascend
from mfas.audit.space import Ball
from mfas.audit.victim import Prototypes, Victim, absent
from mfas.core import MODALITIES, Batch, Modality
from mfas.errors import ConfigError


class PerturbSettings(AscentSettings):
    """A search, and how much the cosine to the live prototype weighs beside a logit (kind ``collaborative``)."""

    prototype_weight: float = Field(2.0, ge=0)


Goal = Literal["fused", "cross", "collaborative", "pseudo_label", "unwatched"]
"""The objective of a kind, a function of `mfas.audit.objectives`."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to attack: the share of its budget that each modality may use, and the goal."""

    shares: Mapping[Modality, float]
    goal: Goal
    meaning: str


_ALL = dict.fromkeys(MODALITIES, 1.0)
_THIRD = dict.fromkeys(MODALITIES, 1 / len(MODALITIES))
KINDS: dict[str, Kind] = {
    **{m.value: Kind({m: 1.0}, "fused", f"{m.value} alone, for the fused score") for m in MODALITIES},
    "shared": Kind(_THIRD, "fused", "every modality with a third of its budget"),
    "all": Kind(_ALL, "fused", "every modality with all of its budget"),
    **{
        f"cross_{m.value}": Kind({m: 1.0}, "cross", f"{m.value} alone, through every modality's network")
        for m in MODALITIES
    },
    "collaborative": Kind(_ALL, "collaborative", "every modality, features drawn to the live prototype too"),
    "pseudo_label": Kind(_ALL, "pseudo_label", "every modality, to be taught as living"),
    "unwatched": Kind(_ALL, "unwatched", "the same, beyond the captures that the threshold's correction watches"),
}
"""Kinds by name, in the order of tables."""


def kind_of(name: str) -> Kind:
    """The kind of that name; `ConfigError` lists what there is."""
    try:
        return KINDS[name]
    except KeyError:
        raise ConfigError(f"expected attacks out of {', '.join(KINDS)}, got '{name}'") from None


def perturb(
    victim: Victim, batch: Batch, name: str, settings: PerturbSettings, live: Prototypes | None = None, seed: int = 0
) -> Found:
    """Perturb attack captures so that ``victim`` takes them for living faces.

    ``live`` are the prototypes of bona fide captures that kind ``collaborative`` needs. Modalities that no capture of
    the batch has stay as they are. Raises `ConfigError` for an unknown kind, `InputError` for a model without slopes.
    """
    kind = kind_of(name)
    shares = {m: share for m, share in kind.shares.items() if not absent(batch, [m])}
    ball = Ball(batch, victim.card.preprocess, settings.budget, shares)
    own = victim if kind.goal == "cross" else victim.holding(batch, shares)
    with victim.open():
        return ascend(batch, ball, objective_of(kind, own, settings, live or {}), settings, seed)


def objective_of(kind: Kind, victim: Victim, settings: PerturbSettings, live: Prototypes) -> Objective:
    """What a kind climbs on a victim."""
    if kind.goal == "cross":
        return objectives.cross_slot(victim, next(iter(kind.shares)))
    if kind.goal == "collaborative":
        return objectives.collaborative(victim, live, settings.prototype_weight)
    if kind.goal == "fused":
        return objectives.fused(victim)
    return objectives.pseudo_label(victim, unwatched=kind.goal == "unwatched")
