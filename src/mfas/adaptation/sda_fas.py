"""SDA-FAS (Liu et al., ECCV 2022): source-free, many passes over an unlabelled target.

Pseudo labels of the source model give way to those of the model as it becomes; features are drawn to the frozen heads'
prototypes; a slow teacher and the student must agree over patch-shuffled images. What differs with several modalities
and one logit: `docs/methods/sda_fas.md`.
"""

from __future__ import annotations

from math import ceil, exp

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from mfas.adaptation.frozen import FrozenUpper
from mfas.adaptation.live import finite
from mfas.adaptation.offline import Course, OfflineAdapter, OfflineSettings
from mfas.adaptation.pool import CapturePool, LabelledPool, MapPool, shuffled
from mfas.adaptation.registry import register
from mfas.adaptation.sda_terms import contrast, destroyed, prototypes, self_distillation
from mfas.adaptation.surface import contiguous_norms, surface_names
from mfas.core import Modality
from mfas.models.contract import FasModel, Maps, ModelOutput


class SdaFasSettings(OfflineSettings):
    """Rate, batch, weights and thresholds of the published code; ``passes`` in place of its 600 steps."""

    batch_size: int = Field(24, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(5e-4, ge=0)
    confidence: float = Field(0.95, ge=0.5, lt=1, description="score of the winning class from which on a label counts")
    refresh_every: int = Field(20, ge=1, description="steps between two labellings by the model as it is")
    contrast_weight: float = Field(0.3, ge=0, description="of the contrast to the heads' prototypes")
    contrast_temperature: float = Field(0.1, gt=0)
    teacher_weight: float = Field(0.1, ge=0, description="of the agreement with the teacher")
    teacher_temperature: float = Field(0.1, gt=0)
    teacher_decay: float = Field(0.999, ge=0, lt=1)
    centre_decay: float = Field(0.9, ge=0, lt=1, description="of the running mean of the teacher's logits")
    grid: int = Field(4, ge=1, description="patches per side that are shuffled")


class _Teacher:
    """A running mean of the student's weights, and of its own logits."""

    def __init__(self, model: FasModel, student: dict[str, Tensor], own: SdaFasSettings) -> None:
        self._student = student
        self._values = {name: value.detach().clone() for name, value in student.items()}
        self._net = FrozenUpper(model, self._values)
        self._own = own
        self._centre = 0.0

    def goals(self, views: list[Maps], present: Tensor) -> list[Tensor]:
        """Soft labels ``[B]`` for each view, centred and sharpened; the centre moves first."""
        logits = [self._net(maps, present).logit for maps in views]
        decay = self._own.centre_decay
        self._centre = decay * self._centre + (1 - decay) * float(torch.cat(logits).mean())
        return [torch.sigmoid((z - self._centre) / self._own.teacher_temperature) for z in logits]

    @torch.no_grad()
    def follow(self) -> None:
        """Take a step after the student."""
        for name, value in self._values.items():
            value.lerp_(self._student[name], 1 - self._own.teacher_decay)


@register("sda_fas")
class SdaFas(OfflineAdapter):
    """Moves the upper part of every encoder; heads and fusion stay, as the published source classifier does."""

    Settings = SdaFasSettings
    settings: SdaFasSettings

    def surface_of(self, model: FasModel) -> frozenset[str]:
        """See `OfflineAdapter.surface_of`."""
        return surface_names(model, "upper")

    def learn(self, target: CapturePool, source: LabelledPool | None, course: Course) -> None:
        """See `OfflineAdapter.learn`."""
        del source
        own, values = self.settings, list(self._live.values.values())
        pool = MapPool(self._model, target)
        before = self._scores(pool)
        towards = prototypes(self._model, pool)
        teacher = _Teacher(self._model, self._live.values, own)
        descent = torch.optim.SGD(values, own.learning_rate, own.momentum, weight_decay=own.weight_decay)
        generator = torch.Generator().manual_seed(self.seed)
        total = own.passes * ceil(len(pool) / own.batch_size)
        number, now = 0, before
        for _ in range(own.passes):
            losses = []
            for index in shuffled(len(pool), own.batch_size, generator):
                if number % own.refresh_every == 0:
                    now = self._scores(pool)
                ramp = 2 / (1 + exp(-20 * number / total)) - 1
                maps, present = pool.take(index)
                torn = self._model.lower(destroyed(target.batch(index.tolist()), own.grid, generator))
                goals = teacher.goals([maps, torn], present)
                with self._live.differentiable(), contiguous_norms(self._model):
                    whole, other = self._model.upper(maps, present), self._model.upper(torn, present)
                    loss = self._loss(whole, other, before[index], now[index], goals, towards, ramp)
                    gradients = torch.autograd.grad(loss, values, allow_unused=True)
                number += 1
                amount = float(loss.detach())
                if not finite(amount, gradients):
                    course.skipped += 1
                    continue
                for value, gradient in zip(values, gradients, strict=True):
                    value.grad = gradient
                descent.step()
                descent.zero_grad(set_to_none=True)
                teacher.follow()
                course.steps += 1
                losses.append(amount)
            course.losses.append(sum(losses) / len(losses) if losses else 0.0)
        course.signals["source_labelled"] = float(_sure(before, own.confidence).double().mean())
        course.signals["target_labelled"] = float(_sure(self._scores(pool), own.confidence).double().mean())

    def _loss(
        self,
        whole: ModelOutput,
        other: ModelOutput,
        before: Tensor,
        now: Tensor,
        goals: list[Tensor],
        towards: dict[Modality, Tensor],
        ramp: float,
    ) -> Tensor:
        """Equation (4) of the page; a term without sure captures is zero."""
        own = self.settings
        loss = own.teacher_weight * self_distillation([whole.logit, other.logit], goals)
        for score, weight in ((before, 1 - ramp), (now, ramp)):
            sure = _sure(score, own.confidence)
            if bool(sure.any()):
                loss = loss + weight * bce(whole.logit[sure], (score[sure] >= 0.5).to(whole.logit.dtype))
        sure = _sure(now, own.confidence)
        if bool(sure.any()):
            near = contrast(whole.features, towards, whole.present, now >= 0.5, own.contrast_temperature)
            loss = loss + own.contrast_weight * near[sure].mean()
        return loss

    @torch.no_grad()
    def _scores(self, pool: MapPool) -> Tensor:
        """Scores ``[N]`` of the model as it is."""
        return torch.cat([torch.sigmoid(self._model.upper(*pool.take(index)).logit) for index in pool.chunks()])


def _sure(score: Tensor, confidence: float) -> Tensor:
    return torch.maximum(score, 1 - score) >= confidence
