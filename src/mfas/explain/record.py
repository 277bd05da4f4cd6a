"""What is kept of an explanation: numbers, with a schema version, so that a decision record can carry it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mfas.core import Modality, format_modalities, parse_modalities
from mfas.errors import InputError

SCHEMA = 1
"""Raised when a field changes its meaning or goes away; further fields do not raise it."""

Absent = Literal["complements", "some_complements", "as_missing"]
"""What stands in for a modality that is taken away: the model's complements for every one, for some, for none."""


@dataclass(frozen=True, slots=True)
class EmptyValue:
    """The value of no modality at all, a logit.

    ``kind`` ``source_mean``: the fused logit on the mean lower maps of ``captures`` captures of ``sources``;
    ``zero_maps``: on lower maps of zero, for want of such captures, an arbitrary origin.
    """

    logit: float
    kind: Literal["source_mean", "zero_maps"]
    captures: int = 0
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Synergy:
    """Whether the attribution carries the decision of all modalities together.

    ``gap``: what lies between v(M) and v(empty) + sum of phi, zero but for rounding. ``top``: the modality that speaks
    most for the decision; ``drop``: by how much the logit moves away from the decision without it (negative: towards).
    """

    gap: float
    top: Modality
    drop: float


@dataclass(frozen=True, slots=True)
class Stability:
    """How the attribution moves when all modalities are disturbed a little, over ``draws`` draws.

    ``change``: mean of the largest move of a phi_m, ``shift``: mean move of v, both absolute, in logits. ``ratio``:
    mean of the one over (the other + 0.1). ``noise``: standard deviation of what was added, in units of the network's
    input.
    """

    ratio: float
    change: float
    shift: float
    noise: float
    draws: int


@dataclass(frozen=True, slots=True)
class Deletion:
    """Loss of support for the decision, in logits, as cells of the images are flattened, mean over the shares deleted.

    ``mapped``: in the order of the saliency maps; ``random``: mean over random orders; ``beaten``: share of random
    orders that lose less than ``mapped``.
    """

    mapped: float
    random: float
    beaten: float


@dataclass(frozen=True, slots=True)
class Attribution:
    """Why one capture got its fused logit (higher = bona fide).

    - ``values``: logit v(T) by coalition, the empty one included. ``absent``, ``empty``: what the rest was replaced by.
    - ``phi``: Shapley value per modality present. ``interactions``: by unordered pair.
    - ``influence[m][n]``: 1 - cosine of n's saliency map with and without m, in [0, 1].
    - ``saliency``: the method of the maps.
    """

    values: Mapping[frozenset[Modality], float]
    absent: Absent
    empty: EmptyValue
    phi: Mapping[Modality, float]
    interactions: Mapping[tuple[Modality, Modality], float]
    influence: Mapping[Modality, Mapping[Modality, float]]
    synergy: Synergy
    stability: Stability
    deletion: Deletion
    saliency: str

    @property
    def present(self) -> tuple[Modality, ...]:
        """The modalities of the capture that the model was asked about."""
        return tuple(self.phi)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe; coalitions and pairs by their comma-joined names, ``""`` = the empty one."""
        return {
            "schema": SCHEMA,
            "present": format_modalities(self.phi),
            "values": {format_modalities(some): value for some, value in self.values.items()},
            "absent": self.absent,
            "empty": {**asdict(self.empty), "sources": list(self.empty.sources)},
            "phi": {m.value: value for m, value in self.phi.items()},
            "interactions": {format_modalities(pair): value for pair, value in self.interactions.items()},
            "influence": {m.value: {n.value: v for n, v in row.items()} for m, row in self.influence.items()},
            "synergy": {**asdict(self.synergy), "top": self.synergy.top.value},
            "stability": asdict(self.stability),
            "deletion": asdict(self.deletion),
            "saliency": self.saliency,
        }

    @staticmethod
    def from_dict(kept: Mapping[str, Any]) -> Attribution:
        """Read what `to_dict` gave. Raises `InputError` for another schema or a missing field."""
        if kept.get("schema") != SCHEMA:
            raise InputError(f"expected an explanation of schema {SCHEMA}, got {kept.get('schema')}")
        try:
            pairs = {parse_modalities(names): float(value) for names, value in kept["interactions"].items()}
            return Attribution(
                values={frozenset(parse_modalities(names)): float(v) for names, v in kept["values"].items()},
                absent=kept["absent"],
                empty=EmptyValue(**{**kept["empty"], "sources": tuple(kept["empty"]["sources"])}),
                phi={Modality(m): float(value) for m, value in kept["phi"].items()},
                interactions={(pair[0], pair[1]): value for pair, value in pairs.items()},
                influence={
                    Modality(m): {Modality(n): float(v) for n, v in row.items()} for m, row in kept["influence"].items()
                },
                synergy=Synergy(**{**kept["synergy"], "top": Modality(kept["synergy"]["top"])}),
                stability=Stability(**kept["stability"]),
                deletion=Deletion(**kept["deletion"]),
                saliency=str(kept["saliency"]),
            )
        except (KeyError, TypeError, ValueError, IndexError) as reason:
            raise InputError(f"expected an explanation as mfas writes it, got one with a fault at {reason}") from None
