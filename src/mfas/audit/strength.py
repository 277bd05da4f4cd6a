"""Whether the search is as strong as it seems: more steps, more budget, more restarts must not find less.

A model that hides its slopes looks robust to a search that follows them; a search that stalls looks the same. After
Carlini et al., "On evaluating adversarial robustness" (arXiv 1902.06705).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mfas.audit.kinds import PerturbSettings, perturb
from mfas.audit.space import STEPS, Budgets
from mfas.audit.victim import Prototypes, Victim, accepted
from mfas.core import Batch

STEP_COUNTS = (1, 3)
BUDGET_FACTORS = (0.25, 0.5, 2.0)


@dataclass(frozen=True, slots=True)
class Strength:
    """One setting of a search: what was changed, accept rate in [0, 1], mean objective (a logit)."""

    varied: str
    value: float
    accepted: float
    objective: float


def measure_strength(
    victim: Victim,
    batches: Sequence[Batch],
    name: str,
    settings: PerturbSettings,
    live: Prototypes | None = None,
    seed: int = 0,
) -> tuple[Strength, ...]:
    """Vary steps, restarts and budget of kind ``name`` around ``settings``, one at a time, with all sensors."""
    steps = sorted({*STEP_COUNTS, settings.steps, 2 * settings.steps})
    restarts = sorted({1, settings.restarts, 2 * settings.restarts})
    changed = [("steps", float(n), settings.model_copy(update={"steps": n})) for n in steps]
    changed += [("restarts", float(n), settings.model_copy(update={"restarts": n})) for n in restarts]
    factors = sorted({*BUDGET_FACTORS, 1.0})
    changed += [("budget", f, settings.model_copy(update={"budget": scaled(settings.budget, f)})) for f in factors]
    out = []
    for varied, value, own in changed:
        found = [perturb(victim, batch, name, own, live, seed + 7919 * i) for i, batch in enumerate(batches)]
        rate = torch.cat([accepted(victim, one.batch, "") for one in found]).double().mean()
        out.append(Strength(varied, value, float(rate), float(torch.cat([one.value for one in found]).mean())))
    return tuple(out)


def scaled(budget: Budgets, factor: float) -> Budgets:
    """Every budget times ``factor``, full scale at most."""
    return Budgets(**{key: min(value * factor, STEPS) for key, value in budget.model_dump().items()})
