"""A clone trained on a model's answers, and how much of the model it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from mfas import metrics
from mfas.adaptation.surface import contiguous_norms
from mfas.audit.oracle import Oracle
from mfas.audit.queries import Strategy, join, make_queries
from mfas.audit.space import Budgets
from mfas.audit.victim import Victim, chunks
from mfas.config import Config
from mfas.core import Batch
from mfas.models.contract import FasModel


class StealSettings(Config):
    """How a clone is made. Each round asks, learns from all answers so far, and knows better where it is unsure."""

    rounds: int = Field(3, ge=1)
    epochs: int = Field(4, ge=1, description="over all answers, in every round")
    least_steps: int = Field(30, ge=1, description="of learning in a round, however few the answers")
    learning_rate: float = Field(3e-3, gt=0)
    batch_size: int = Field(32, ge=2)
    ask_at_once: int = Field(10, ge=1)
    budget: Budgets = Budgets(rgb=4.0, depth=4.0, ir=4.0)


@dataclass(frozen=True, slots=True)
class Stolen:
    """A clone, what was asked, and the answers ``[Q]``."""

    clone: Victim
    queries: Batch
    answers: Tensor


def steal(oracle: Oracle, clone: Victim, pool: Batch, count: int, strategy: Strategy, settings: StealSettings,
          seed: int = 0) -> Stolen:  # fmt: skip
    """Train ``clone.model`` in place on the answers to ``count`` queries, or to as many as the oracle gives.

    ``pool`` are the captures in the attacker's hand, without labels.
    """
    generator = torch.Generator().manual_seed(seed)
    asked: list[Batch] = []
    told: list[Tensor] = []
    edges = [round(count * i / settings.rounds) for i in range(settings.rounds + 1)]
    for wanted in (after - before for before, after in pairwise(edges)):
        if wanted and oracle.left != 0:
            queries = make_queries(clone, pool, wanted, strategy, settings.budget, generator)
            answers = [oracle.ask(queries.select(rows)) for rows in chunks(wanted, settings.ask_at_once)]
            given = torch.cat(answers)
            asked.append(queries.select(torch.arange(len(given))))
            told.append(given)
            learn(clone.model, join(asked), torch.cat(told), settings, generator)
    return Stolen(clone, join(asked), torch.cat(told))


def learn(
    model: FasModel, queries: Batch, answers: Tensor, settings: StealSettings, generator: torch.Generator
) -> None:
    """Fit the fused score to the answers by cross-entropy, in place; the model is left in eval mode."""
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), settings.learning_rate)
    per_epoch = -(-len(answers) // settings.batch_size)
    with contiguous_norms(model):
        for _ in range(max(settings.epochs, -(-settings.least_steps // per_epoch))):
            order = torch.randperm(len(answers), generator=generator)
            for places in chunks(len(answers), settings.batch_size):
                rows = order[places]
                loss = bce(model(queries.select(rows)).logit, answers[rows])
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                optimiser.step()
    model.eval()


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How alike clone and victim are on captures that neither was queried with.

    ``agreement``: share of equal decisions; ``by_chance``: what two unrelated systems with the same accept rates would
    reach. ``mean_difference`` of scores (None where the answers were decisions). ``hter`` of the clone against the
    truth.
    """

    agreement: float
    by_chance: float
    mean_difference: float | None
    hter: float


def compare(clone: Tensor, victim: Tensor, bona_fide: Tensor, oracle: Oracle, species: Sequence[str]) -> Fidelity:
    """Compare scores ``[N]`` of both; ``bona_fide`` bool ``[N]`` is the truth, ``species`` that of each capture."""
    own, theirs = clone >= oracle.cut, victim >= oracle.threshold
    p, q = float(own.double().mean()), float(theirs.double().mean())
    attacks: dict[str, list[float]] = {}
    for score, live, name in zip(clone.tolist(), bona_fide.tolist(), species, strict=True):
        if not live:
            attacks.setdefault(name, []).append(score)
    return Fidelity(
        agreement=float((own == theirs).double().mean()),
        by_chance=p * q + (1 - p) * (1 - q),
        mean_difference=None if oracle.kind == "label" else float((clone - victim).abs().mean()),
        hter=metrics.hter(clone[bona_fide].tolist(), attacks, oracle.cut),
    )
