"""TENT (Wang et al., ICLR 2021): minimise the entropy of every batch's own scores, from which nothing protects it.

What differs with one logit, GroupNorm and missing modalities: `docs/methods/tent.md`.
"""

from __future__ import annotations

from time import perf_counter

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from mfas.adaptation.contract import Adapter, AdapterState, StepReport
from mfas.adaptation.live import LiveAdam, LiveTensors, check_facts, finite
from mfas.adaptation.registry import register
from mfas.adaptation.surface import contiguous_norms, norm_names
from mfas.card import Card
from mfas.config import Config
from mfas.core import Batch, Prediction
from mfas.models.contract import FasModel, check_batch, to_prediction


class TentSettings(Config):
    """Adam as published for CIFAR-10-C (1e-3, beta1 0.9, batches of 200); nothing is tuned here."""

    learning_rate: float = Field(1e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="Adam's beta1")


def entropy(logit: Tensor) -> Tensor:
    r"""Entropy in nats, in [0, ln 2], of a score $\sigma(z)$: $H(z) = \log(1 + e^z) - z\,\sigma(z)$; same shape.

    Its slope is $-z\,\sigma(z)\,\sigma(-z)$: zero at $z = 0$, and away from 0 on either side.

    >>> entropy(torch.tensor([0.0, 40.0])).tolist()
    [0.6931471824645996, 0.0]
    """
    return softplus(logit) - logit * torch.sigmoid(logit)


@register("tent")
class Tent(Adapter):
    """One gradient step per batch on the mean entropy of the fused scores; scale and shift of all norms move."""

    Settings = TentSettings

    def __init__(self, model: FasModel, card: Card, settings: TentSettings, seed: int) -> None:
        del card, seed
        self.settings = settings
        self._model = model.eval().requires_grad_(False)
        self.adapted_parameters = norm_names(model)
        self._live = LiveTensors(model, self.adapted_parameters)
        self._optimiser = LiveAdam(self._live, settings.learning_rate, settings.momentum)
        self._step = 0

    def step(self, batch: Batch) -> tuple[Prediction, StepReport]:
        """See `Adapter.step`."""
        start = perf_counter()
        check_batch(batch)
        with self._live.differentiable(), contiguous_norms(self._model):
            output = self._model(batch)
            loss = entropy(output.logit).mean()
            gradients = torch.autograd.grad(loss, list(self._live.values.values()), allow_unused=True)
        prediction = to_prediction(output)
        amount = float(loss.detach())
        made = finite(amount, gradients)
        if made:
            self._optimiser.step(gradients)
        report = StepReport(
            step=self._step,
            seen=len(batch),
            updated=made,
            skipped_reason=None if made else "loss or gradient not finite",
            loss=amount if made else None,
            drift=self._live.drift(),
            seconds=perf_counter() - start,
        )
        self._step += 1
        return prediction, report

    def predict(self, batch: Batch) -> Prediction:
        """See `Adapter.predict`."""
        return self._model.predict(batch)

    def reset(self) -> None:
        """See `Adapter.reset`."""
        self._live.restore()
        self._optimiser.reset()
        self._step = 0

    @property
    def model(self) -> FasModel:
        """See `Adapter.model`."""
        return self._model

    def state(self) -> AdapterState:
        """See `Adapter.state`."""
        facts = {"method": self.name, "settings": self.settings.model_dump(mode="json"), "step": self._step}
        return AdapterState(self._live.state() | self._optimiser.state(), facts)

    def load_state(self, state: AdapterState) -> None:
        """See `Adapter.load_state`."""
        check_facts(state.facts, method=self.name, settings=self.settings.model_dump(mode="json"))
        self._live.check(state.tensors)
        self._live.load(state.tensors)
        self._optimiser.load(state.tensors)
        self._step = int(state.facts["step"])
