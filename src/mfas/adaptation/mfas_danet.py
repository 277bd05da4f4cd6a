"""MFAS-DANet adaptation (arXiv 2509.23475): reliable pseudo labels, two class queues, adaptive loss weight.

What the paper says and what is ours: `docs/methods/mfas_danet.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from mfas.adaptation.contract import Adapter, AdapterState, StepReport
from mfas.adaptation.frozen import FrozenUpper
from mfas.adaptation.gate import Gate, GateSettings, Verdict
from mfas.adaptation.memory import Memory
from mfas.adaptation.registry import register
from mfas.adaptation.surface import Surface, surface_names
from mfas.adaptation.weight import AdaptiveWeight, WeightSettings
from mfas.card import Card
from mfas.config import Config
from mfas.core import Batch, Label, Modality, Prediction
from mfas.errors import StateError
from mfas.models.contract import FasModel, Maps, check_batch, random_present, to_prediction


class MfasDanetSettings(Config):
    """Gate, surface and step were chosen on ``dev_a`` and ``dev_b``; the other defaults are not tuned."""

    surface: Surface = "norm"
    extra_layers: tuple[str, ...] = ()
    learning_rate: float = Field(2e-2, gt=0)
    update_every: int = Field(16, ge=1, description="queued captures between two updates")
    batch_per_class: int = Field(16, ge=1)
    capacity: int = Field(64, ge=1)
    min_per_class: int = Field(8, ge=1)
    per_presentation: int = Field(2, ge=1)
    per_subject: int = Field(6, ge=1)
    anchor: float = Field(0.01, ge=0, lt=1, description="pull towards the source per update")
    weight_heads: float = Field(0.5, ge=0)
    weight_partial: float = Field(0.0, ge=0)
    gate: GateSettings = GateSettings()
    weight: WeightSettings = WeightSettings()

    @model_validator(mode="after")
    def _memory_large_enough(self) -> MfasDanetSettings:
        if self.capacity < max(self.min_per_class, self.batch_per_class):
            raise ValueError(f"expected capacity of at least min_per_class and batch_per_class, got {self.capacity}")
        return self


@register("mfas_danet")
class MfasDanetAdapter(Adapter):
    """The frozen source model gates; the live model scores and learns; the lower part runs once, without gradient."""

    Settings = MfasDanetSettings

    def __init__(self, model: FasModel, card: Card, settings: MfasDanetSettings, seed: int) -> None:
        self.settings = settings
        self.seed = seed
        self._model = model.eval().requires_grad_(False)
        self.adapted_parameters = surface_names(model, settings.surface, settings.extra_layers)
        own = dict(model.named_parameters())
        self._live = {name: own[name] for name in sorted(self.adapted_parameters)}
        self._source = {name: value.detach().clone() for name, value in self._live.items()}
        self._frozen = FrozenUpper(model, self._source)
        self._gate = Gate(settings.gate, card)
        self._memory = Memory(settings.capacity, settings.per_presentation, settings.per_subject)
        self._weight = AdaptiveWeight(settings.weight)
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
        verdict = self._gate.judge(reference)
        flips = (live.logit > 0) != (reference.logit > 0)
        weight = self._weight.observe_batch(float(flips.float().mean()), float(verdict.uncertainty.mean()))
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
        with torch.no_grad():
            for name, value in self._live.items():
                value.copy_(self._source[name])
        self._optimiser = torch.optim.Adam(list(self._live.values()), lr=self.settings.learning_rate)
        self._memory.clear()
        self._weight.clear()
        self._step, self._updates, self._pending = 0, 0, 0

    @property
    def model(self) -> FasModel:
        """See `Adapter.model`."""
        return self._model

    def state(self) -> AdapterState:
        """See `Adapter.state`."""
        tensors, owners = self._memory.state()
        tensors |= {f"live.{name}": value.detach().clone() for name, value in self._live.items()}
        tensors |= _optimiser_tensors(self._optimiser, list(self._live))
        facts = {
            "method": self.name,
            "settings": self.settings.model_dump(mode="json"),
            "seed": self.seed,
            "step": self._step,
            "updates": self._updates,
            "pending": self._pending,
            "memory": owners,
            "weight": self._weight.state(),
        }
        return AdapterState(tensors, facts)

    def load_state(self, state: AdapterState) -> None:
        """See `Adapter.load_state`."""
        facts = state.facts
        for key, own in (("method", self.name), ("settings", self.settings.model_dump(mode="json"))):
            if facts.get(key) != own:
                raise StateError(f"expected a state with {key} {own}, got {facts.get(key)}")
        for name, value in self._live.items():
            found = state.tensors.get(f"live.{name}")
            if found is None or found.shape != value.shape:
                raise StateError(f"expected '{name}' as {tuple(value.shape)} in the state, found another shape or none")
        self.reset()
        with torch.no_grad():
            for name, value in self._live.items():
                value.copy_(state.tensors[f"live.{name}"])
        _load_optimiser(self._optimiser, list(self._live), state.tensors)
        self._memory.load(state.tensors, facts["memory"])
        self._weight.load(facts["weight"])
        self._step, self._updates, self._pending = facts["step"], facts["updates"], facts["pending"]

    # -- learning ----------------------------------------------------------------------------------------------------

    def _remember(self, batch: Batch, maps: Maps, verdict: Verdict) -> int:
        queued = 0
        for row in verdict.accept.nonzero().flatten().tolist():
            label = Label.BONA_FIDE if bool(verdict.bona_fide[row]) else Label.ATTACK
            mine = {m: x[row] for m, x in maps.items()}
            ids = batch.ids
            taken = self._memory.offer(label, mine, batch.present[row], ids.presentation_id[row], ids.subject[row])
            queued += int(taken)
        return queued

    def _why_not(self) -> str | None:
        counts = self._memory.counts()
        need = self.settings.min_per_class
        lacking = [label.value for label, held in counts.items() if held < need]
        if lacking:
            return f"too little evidence of {' and '.join(lacking)}"
        if self._pending < self.settings.update_every:
            return "waiting for new evidence"
        return None

    def _update(self) -> tuple[float | None, float, str | None]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self._updates)
        maps, present, target = self._memory.draw(self.settings.batch_per_class, generator)
        for value in self._live.values():
            value.requires_grad_(True)
        try:
            with torch.enable_grad():
                loss = self._loss(maps, present, target, generator)
                gradients = torch.autograd.grad(loss, list(self._live.values()), allow_unused=True)
        finally:
            for value in self._live.values():
                value.requires_grad_(False)
        amount = float(loss.detach())
        if amount != amount or not all(bool(torch.isfinite(g).all()) for g in gradients if g is not None):
            return None, self._weight.value, "loss or gradient not finite"
        weight = self._weight.observe_loss(amount)
        self._move(gradients, weight)
        self._updates += 1
        self._pending = 0
        return amount, weight, None

    def _loss(
        self, maps: dict[Modality, Tensor], present: Tensor, target: Tensor, generator: torch.Generator
    ) -> Tensor:
        s = self.settings
        share = torch.where(target > 0.5, target.sum(), (1 - target).sum()).reciprocal() / 2
        full = self._model.upper(maps, present)
        loss = (share * bce(full.logit, target, reduction="none")).sum()
        heads = bce(full.modality_logits, target[:, None].expand(-1, 3), reduction="none") * present
        loss = loss + s.weight_heads * (share * heads.sum(dim=1)).sum()
        if s.weight_partial:
            partial = self._model.upper(maps, random_present(present, generator, keep_all=0.0))
            loss = loss + s.weight_partial * (share * bce(partial.logit, target, reduction="none")).sum()
        return loss

    @torch.no_grad()
    def _move(self, gradients: tuple[Tensor | None, ...], weight: float) -> None:
        """One Adam step; the weight multiplies the step, since Adam undoes any scaling of the loss."""
        for value, gradient in zip(self._live.values(), gradients, strict=True):
            value.grad = gradient
        self._optimiser.param_groups[0]["lr"] = self.settings.learning_rate * weight
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        for name, value in self._live.items():
            value.lerp_(self._source[name], self.settings.anchor)

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
            updated=reason is None,
            skipped_reason=reason,
            loss=loss,
            loss_weight=weight,
            signals=dict(self._weight.signals),
            drift=self._drift(),
            seconds=seconds,
        )

    def _drift(self) -> float:
        """Root mean square distance of the moved parameters from the source."""
        square = sum(float((v - self._source[n]).square().sum()) for n, v in self._live.items())
        count = sum(v.numel() for v in self._live.values())
        return float((square / count) ** 0.5)


def _optimiser_tensors(optimiser: torch.optim.Adam, names: list[str]) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for name, value in zip(names, optimiser.param_groups[0]["params"], strict=True):
        for key, tensor in optimiser.state.get(value, {}).items():
            out[f"optimiser.{key}.{name}"] = tensor.detach().clone()
    return out


def _load_optimiser(optimiser: torch.optim.Adam, names: list[str], tensors: Mapping[str, Tensor]) -> None:
    for name, value in zip(names, optimiser.param_groups[0]["params"], strict=True):
        state: dict[str, Any] = {}
        for key in ("step", "exp_avg", "exp_avg_sq"):
            if f"optimiser.{key}.{name}" in tensors:
                state[key] = tensors[f"optimiser.{key}.{name}"].clone()
        if state:
            optimiser.state[value] = state
