"""What an outsider sees of a model: answers to queries, as coarse as the service makes them, as many as it allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from mfas.core import Batch

AnswerKind = Literal["label", "rounded", "score"]
ROUNDING = 0.05
"""Step of a rounded score."""


class Oracle:
    """Answers queries with a decision, a rounded score or the score, until ``limit`` queries were answered.

    ``score`` maps a batch to scores ``[B]`` in [0, 1]; it may learn from what it is asked. ``threshold`` decides.
    """

    def __init__(
        self, score: Callable[[Batch], Tensor], threshold: float, kind: AnswerKind, limit: int | None = None
    ) -> None:
        self.kind: AnswerKind = kind
        self.threshold = threshold
        self.asked = 0
        self._score = score
        self._limit = limit

    @property
    def left(self) -> int | None:
        """Queries that will still be answered; None = no limit."""
        return None if self._limit is None else max(0, self._limit - self.asked)

    def ask(self, batch: Batch) -> Tensor:
        """Answers in [0, 1] to the first captures of ``batch``, as many as are still allowed."""
        if self.left is not None and self.left < len(batch):
            batch = batch.select(torch.arange(self.left))
        if not len(batch):
            return torch.zeros(0)
        self.asked += len(batch)
        score = self._score(batch).detach()
        if self.kind == "label":
            return (score >= self.threshold).float()
        return score if self.kind == "score" else (score / ROUNDING).round() * ROUNDING

    @property
    def cut(self) -> float:
        """Where a clone that learnt these answers decides: 0.5 for decisions, the threshold for scores."""
        return 0.5 if self.kind == "label" else self.threshold
