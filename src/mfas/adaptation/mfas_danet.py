"""MFAS-DANet adaptation (arXiv 2509.23475): reliable pseudo labels, two class queues, adaptive loss weight.

What the paper says and what is ours: `docs/methods/mfas_danet.md`.
"""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import Any

import torch
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from mfas.adaptation.contract import Adapter, AdapterState, StepReport
from mfas.adaptation.frozen import FrozenUpper
from mfas.adaptation.gate import Gate, GateSettings, Verdict
from mfas.adaptation.hold import HoldSettings, ThresholdHold
from mfas.adaptation.live import NOT_FINITE, LiveAdam, LiveTensors, check_facts, finite
from mfas.adaptation.memory import Memory
from mfas.adaptation.plain_evidence import Evidence, plain_verdict
from mfas.adaptation.registry import register
from mfas.adaptation.surface import Surface, surface_names
from mfas.adaptation.weight import AdaptiveWeight, WeightSettings
from mfas.card import Card
from mfas.config import Config
from mfas.core import Batch, Label, Modality, Prediction
from mfas.models.contract import FasModel, Maps, ModelOutput, check_batch, random_present, to_prediction
from mfas.models.smoothing import softened


class MfasDanetSettings(Config):
    """Gate, surface and step were chosen on ``dev_a`` and ``dev_b``; the other defaults are not tuned."""

    surface: Surface = "norm"
    extra_layers: tuple[str, ...] = ()
    learning_rate: float = Field(1e-2, gt=0)
    update_every: int = Field(32, ge=1, description="queued captures between two updates")
    batch_per_class: int = Field(16, ge=1)
    capacity: int = Field(64, ge=1)
    min_per_class: int = Field(8, ge=0, description="0 = no two-class rule")
    min_share: float = Field(0.1, ge=0, le=0.5, description="of the rarer class among the labels given last")
    share_window: int = Field(200, ge=1, description="how many labels that looks back")
    per_presentation: int = Field(2, ge=1)
    per_subject: int = Field(6, ge=1)
    anchor: float = Field(0.01, ge=0, lt=1, description="pull towards the source per update")
    radius: float | None = Field(0.1, gt=0, description="largest drift; None = no limit")
    weight_heads: float = Field(0.5, ge=0)
    weight_partial: float = Field(0.0, ge=0)
    soft_labels: bool = Field(False, description="pseudo labels as sure as the frozen heads, instead of 0 and 1")
    evidence: Evidence = "across_modalities"
    gate_follows: bool = Field(False, description="the adapted model gates itself, instead of the source")
    gate: GateSettings = GateSettings()
    weight: WeightSettings = WeightSettings()
    hold: HoldSettings = HoldSettings()

    @model_validator(mode="after")
    def _memory_large_enough(self) -> MfasDanetSettings:
        if self.capacity < max(self.min_per_class, self.batch_per_class):
            raise ValueError(f"expected capacity of at least min_per_class and batch_per_class, got {self.capacity}")
        return self

    @model_serializer(mode="wrap")
    def _unsaid_where_off(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """So that states and benchmark cells from before there was a choice stay good."""
        out: dict[str, Any] = handler(self)
        if not self.soft_labels:
            del out["soft_labels"]
        return out


@register("mfas_danet")
class MfasDanetAdapter(Adapter):
    """The frozen source model gates; the live model scores and learns; the lower part runs once, without gradient."""

    Settings = MfasDanetSettings
    starts_as_source = True

    def __init__(self, model: FasModel, card: Card, settings: MfasDanetSettings, seed: int) -> None:
        self.settings = settings
        self.seed = seed
        self._model = model.eval().requires_grad_(False)
        self._hold = ThresholdHold(model, card, settings.hold)
        learnt = surface_names(model, settings.surface, settings.extra_layers) - self._hold.names
        self.adapted_parameters = learnt | self._hold.names
        self._live = LiveTensors(model, learnt)
        self._optimiser = LiveAdam(self._live, settings.learning_rate)
        self._frozen = FrozenUpper(model, self._live.source | self._hold.source)
        self._gate = Gate(settings.gate, card)
        self._memory = Memory(settings.capacity, settings.per_presentation, settings.per_subject)
        self._weight = AdaptiveWeight(settings.weight)
        self._given: deque[Label] = deque(maxlen=settings.share_window)
        self.reset()

    # -- the contract ------------------------------------------------------------------------------------------------

    def step(self, batch: Batch) -> tuple[Prediction, StepReport]:
        """See `Adapter.step`."""
        start = perf_counter()
        check_batch(batch)
        with torch.no_grad():
            maps = self._model.lower(batch)
            live = self._model.upper(maps, batch.present)
        prediction = to_prediction(live)
        reference = self._frozen(maps, batch.present) if self._updates else live
        verdict = self._judge(live if self.settings.gate_follows else reference, batch)
        flips = (live.logit > 0) != (reference.logit > 0)
        weight = self._weight.observe_batch(float(flips.float().mean()), float(verdict.uncertainty.mean()))
        if self._updates:
            self._hold.watch(live, reference)
        queued = self._remember(batch, maps, verdict)
        self._pending += queued
        reason = self._why_not()
        loss = None
        if reason is None:
            loss, weight, reason = self._update()
        report = self._report(batch, verdict, queued, reason, loss, weight, perf_counter() - start)
        self._step += 1
        return prediction, report

    def predict(self, batch: Batch) -> Prediction:
        """See `Adapter.predict`."""
        return self._model.predict(batch)

    def reset(self) -> None:
        """See `Adapter.reset`."""
        self._live.restore()
        self._hold.restore()
        self._optimiser.reset()
        self._memory.clear()
        self._given.clear()
        self._weight.clear()
        self._step, self._updates, self._pending = 0, 0, 0

    @property
    def model(self) -> FasModel:
        """See `Adapter.model`."""
        return self._model

    def state(self) -> AdapterState:
        """See `Adapter.state`."""
        tensors, owners = self._memory.state()
        tensors |= self._live.state() | self._optimiser.state() | self._hold.state()
        facts = {
            "method": self.name,
            "settings": self.settings.model_dump(mode="json"),
            "seed": self.seed,
            "step": self._step,
            "updates": self._updates,
            "pending": self._pending,
            "memory": owners,
            "given": [label.value for label in self._given],
            "weight": self._weight.state(),
        }
        return AdapterState(tensors, facts)

    def load_state(self, state: AdapterState) -> None:
        """See `Adapter.load_state`."""
        facts = state.facts
        check_facts(facts, method=self.name, settings=self.settings.model_dump(mode="json"))
        self._live.check(state.tensors)
        self.reset()
        self._live.load(state.tensors)
        self._optimiser.load(state.tensors)
        self._hold.load(state.tensors)
        self._memory.load(state.tensors, facts["memory"])
        self._given.extend(Label(value) for value in facts["given"])
        self._weight.load(facts["weight"])
        self._step, self._updates, self._pending = facts["step"], facts["updates"], facts["pending"]

    # -- learning ----------------------------------------------------------------------------------------------------

    def _judge(self, output: ModelOutput, batch: Batch) -> Verdict:
        if self.settings.evidence == "across_modalities":
            return self._gate.judge(output, self._frozen, batch)
        return plain_verdict(self.settings.evidence, output, self._gate.limits.max_entropy_fraction)

    def _remember(self, batch: Batch, maps: Maps, verdict: Verdict) -> int:
        queued = 0
        for row in verdict.accept.nonzero().flatten().tolist():
            label = Label.BONA_FIDE if bool(verdict.bona_fide[row]) else Label.ATTACK
            self._given.append(label)
            mine = {m: x[row] for m, x in maps.items()}
            ids = batch.ids
            owner = ids.presentation_id[row], ids.subject[row]
            taken = self._memory.offer(label, mine, batch.present[row], *owner, float(verdict.reliability[row]))
            queued += int(taken)
        return queued

    def _why_not(self) -> str | None:
        counts = self._memory.counts()
        need = self.settings.min_per_class
        lacking = [label.value for label, held in counts.items() if held < need]
        if lacking:
            return f"too little evidence of {' and '.join(lacking)}"
        rare = min(Label, key=self._given.count)
        if self._given.count(rare) < self.settings.min_share * len(self._given):
            # A gate that errs in one label of a hundred fills the queue of a class that never comes, given time.
            return f"too small a share of {rare.value}"
        if self._pending < self.settings.update_every:
            return "waiting for new evidence"
        return None

    def _update(self) -> tuple[float | None, float, str | None]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self._updates)
        maps, present, target, reliability = self._memory.draw(self.settings.batch_per_class, generator)
        goal = softened(target, reliability) if self.settings.soft_labels else target
        share = torch.where(target > 0.5, target.sum(), (1 - target).sum()).reciprocal() / 2
        with self._live.differentiable():
            loss = self._loss(maps, present, goal, share, generator)
            gradients = torch.autograd.grad(loss, list(self._live.values.values()), allow_unused=True)
        amount = float(loss.detach())
        if not finite(amount, gradients):
            return None, self._weight.value, NOT_FINITE
        weight = self._weight.observe_loss(amount)
        self._optimiser.step(gradients, weight)
        self._live.pull(self.settings.anchor)
        if self.settings.radius is not None:
            self._live.project(self.settings.radius)
        self._updates += 1
        self._pending = 0
        return amount, weight, None

    def _loss(
        self, maps: dict[Modality, Tensor], present: Tensor, target: Tensor, share: Tensor, generator: torch.Generator
    ) -> Tensor:
        """``target`` as sure as it is meant, ``share`` what each row weighs."""
        s = self.settings
        full = self._model.upper(maps, present)
        loss = (share * bce(full.logit, target, reduction="none")).sum()
        heads = bce(full.modality_logits, target[:, None].expand(-1, 3), reduction="none") * present
        loss = loss + s.weight_heads * (share * heads.sum(dim=1)).sum()
        if s.weight_partial:
            partial = self._model.upper(maps, random_present(present, generator, keep_all=0.0))
            loss = loss + s.weight_partial * (share * bce(partial.logit, target, reduction="none")).sum()
        return loss

    def _claims(self, verdict: Verdict, rows: list[int]) -> tuple[float | None, ...]:
        """Source validation measured the gate over the source model, and nothing else."""
        measured = self.settings.evidence == "across_modalities" and not self.settings.gate_follows
        return tuple(self._gate.claims(verdict, rows)) if measured else (None,) * len(rows)

    def _report(
        self,
        batch: Batch,
        verdict: Verdict,
        queued: int,
        reason: str | None,
        loss: float | None,
        weight: float,
        seconds: float,
    ) -> StepReport:
        rows = verdict.accept.nonzero().flatten().tolist()
        labels = [Label.BONA_FIDE if bool(verdict.bona_fide[r]) else Label.ATTACK for r in rows]
        return StepReport(
            step=self._step,
            seen=len(batch),
            accepted=len(rows),
            accepted_bona_fide=labels.count(Label.BONA_FIDE),
            accepted_attack=labels.count(Label.ATTACK),
            queued=queued,
            accepted_ids=tuple(batch.ids.capture_id[r] for r in rows),
            pseudo_labels=tuple(label.value for label in labels),
            reliabilities=self._claims(verdict, rows),
            updated=reason is None,
            skipped_reason=reason,
            loss=loss,
            loss_weight=weight,
            signals={**self._weight.signals, "correction": self._hold.correction},
            drift=self._live.drift(),
            seconds=seconds,
        )
