"""PMC (Zhang et al., TIP 2021, arXiv 2506.19316): modalities teach each other on the target, the source holds them.

Needs labelled captures of the source. The version known for this task had four defects; what they were, and what was
done, is in `docs/methods/pmc.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from mfas.adaptation.frozen import FrozenUpper
from mfas.adaptation.offline import Course, OfflineAdapter, OfflineSettings
from mfas.adaptation.pmc_descent import Descent
from mfas.adaptation.pmc_generator import MapGenerator, complete, train_generator
from mfas.adaptation.pmc_steps import COLUMNS, Cooperation, Known
from mfas.adaptation.pmc_terms import DomainHead, learning_share
from mfas.adaptation.pool import CapturePool, LabelledPool, MapPool
from mfas.adaptation.registry import register
from mfas.adaptation.surface import upper_names
from mfas.card import Card
from mfas.core import MODALITIES, Batch, Modality, Prediction
from mfas.errors import StateError
from mfas.models.contract import FasModel, Maps, check_batch, to_prediction


class PmcSettings(OfflineSettings):
    """Rates and weights of the published runs; domain heads and generator are as small as this task's networks."""

    learning_rate: float = Field(1.5e-3, gt=0)
    head_factor: float = Field(10.0, gt=0, description="learning rate of the new domain heads over that of the model")
    domain_weight: float = Field(0.3, ge=0)
    domain_hidden: int = Field(64, ge=1)
    generator_passes: int = Field(20, ge=0, description="over the source; 0 = missing modalities stay missing")
    generator_learning_rate: float = Field(1.5e-3, gt=0)
    generator_width: int = Field(32, ge=1)
    generator_domain_weight: float = Field(0.1, ge=0)
    source_captures: int = Field(2000, ge=2, description="at most so many labelled captures, half of each class")


@register("pmc")
class Pmc(OfflineAdapter):
    """Moves the whole upper part, heads and fusion included: labelled captures hold them."""

    Settings = PmcSettings
    settings: PmcSettings
    needs_source = True

    def __init__(self, model: FasModel, card: Card, settings: Any, seed: int) -> None:
        super().__init__(model, card, settings, seed)
        self._frozen = FrozenUpper(model, self._live.source)
        self._generators: dict[Modality, MapGenerator] = {}

    def surface_of(self, model: FasModel) -> frozenset[str]:
        """See `OfflineAdapter.surface_of`."""
        return upper_names(model)

    @property
    def source_captures(self) -> int:
        """See `OfflineAdapter.source_captures`."""
        return self.settings.source_captures

    def learn(self, target: CapturePool, source: LabelledPool | None, course: Course) -> None:
        """See `OfflineAdapter.learn`."""
        assert source is not None
        own, here = self.settings, MapPool(self._model, target)
        known = Known(MapPool(self._model, source.captures), source.genuine)
        self._train_generators(here, known, course)
        domains = self._domain_heads(here)
        descent = Descent(self._live, [p for head in domains for p in head.parameters()], own, course)
        work = Cooperation(self._model, here, known, domains, self._filled, descent, own, self.seed)
        accuracies: list[list[float]] = [[] for _ in COLUMNS]
        for number in range(own.passes):
            shares = [learning_share(past, own.passes) for past in accuracies]
            logits, found = work.meet(number)
            work.teach(logits, shares, (number + 1) / own.passes)
            descent.end_pass()
            for name, past, share, accuracy in zip(COLUMNS, accuracies, shares, found, strict=True):
                past.append(accuracy)
                course.signals[f"share_{name}"] = share
                course.signals[f"source_accuracy_{name}"] = accuracy

    # -- missing modalities ------------------------------------------------------------------------------------------

    def _train_generators(self, here: MapPool, known: Known, course: Course) -> None:
        own = self.settings
        for column, m in enumerate(MODALITIES if own.generator_passes else ()):
            net = train_generator(
                m,
                known.maps,
                known.genuine,
                here,
                passes=own.generator_passes,
                batch_size=own.batch_size,
                learning_rate=own.generator_learning_rate,
                width=own.generator_width,
                domain_weight=own.generator_domain_weight,
                domain_hidden=own.domain_hidden,
                seed=self.seed + column,
            )
            if net is not None:
                self._generators[m] = net
                course.signals[f"generated_{m}"] = float((~here.present[:, column]).sum())

    def _completed(self, maps: Maps, present: Tensor) -> tuple[Maps, Tensor]:
        """With generated maps; the class they are made for is the source model's, so that they stay what they were."""
        if not self._generators or bool(present.all()):
            return maps, present
        return complete(self._generators, maps, present, self._frozen(maps, present).logit >= 0)

    @torch.no_grad()
    def _filled(self, here: MapPool, index: Tensor) -> tuple[Maps, Tensor, Tensor]:
        """Maps and presence after, and presence before what is missing was generated."""
        maps, present = here.take(index)
        return *self._completed(maps, present), present

    @torch.no_grad()
    def predict(self, batch: Batch) -> Prediction:
        """See `AdaptedModel.predict`; a generated modality counts as substituted, not as observed."""
        check_batch(batch)
        maps, shown = self._completed(self._model.lower(batch), batch.present)
        output = self._model.upper(maps, shown)
        made = shown & ~batch.present
        return to_prediction(replace(output, present=batch.present, substituted=output.substituted | made))

    def _domain_heads(self, here: MapPool) -> list[DomainHead]:
        with torch.no_grad():
            features = self._model.upper(*here.take(torch.zeros(1, dtype=torch.long))).features
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return [DomainHead(features[m].shape[1], self.settings.domain_hidden) for m in MODALITIES]

    # -- state -------------------------------------------------------------------------------------------------------

    def extra_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See `OfflineAdapter.extra_state`."""
        tensors = {
            f"generator.{m}.{name}": value.clone()
            for m, net in self._generators.items()
            for name, value in net.state_dict().items()
        }
        return tensors, {"generated": [m.value for m in self._generators]}

    def load_extra(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """See `OfflineAdapter.load_extra`."""
        for m in map(Modality, facts["generated"]):
            start = f"generator.{m}."
            own = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
            if "out.weight" not in own:
                raise StateError(f"expected a generator of {m} in the state, found none")
            net = MapGenerator(own["out.weight"].shape[0], self.settings.generator_width)
            net.load_state_dict(own)
            self._generators[m] = net.eval().requires_grad_(False)

    def forget(self) -> None:
        """See `OfflineAdapter.forget`."""
        self._generators = {}
