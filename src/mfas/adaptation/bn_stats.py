"""BatchNorm statistics of the batch in hand, alone or mixed with the source's; no weight moves.

Schneider et al. (NeurIPS 2020), Nado et al. (2020). What differs with missing modalities: `docs/methods/bn_stats.md`.
"""

from __future__ import annotations

from pydantic import Field

from mfas.adaptation.batch_norm import batch_norms, batch_statistics
from mfas.adaptation.registry import register
from mfas.adaptation.stateless import StatelessAdapter
from mfas.card import Card
from mfas.config import Config
from mfas.core import Batch, Prediction
from mfas.errors import ConfigError
from mfas.models.contract import FasModel


class BnStatsSettings(Config):
    """How much the source statistics weigh; nothing is tuned here."""

    source_count: float = Field(16.0, ge=0, description="captures the source counts for; 0 = the batch alone")


@register("bn_stats")
class BnStats(StatelessAdapter):
    """Every batch is normalised by its own statistics, mixed with the source's as `mixed_statistics` says."""

    Settings = BnStatsSettings
    settings: BnStatsSettings
    needs = frozenset({"batch_norm"})
    reason = "bn_stats moves no weight"
    batch_independent = False

    def __init__(self, model: FasModel, card: Card, settings: BnStatsSettings, seed: int) -> None:
        if not batch_norms(model):
            raise ConfigError(
                f"bn_stats: expected a model with BatchNorm, got '{model.name}' without "
                "(train with architecture.backbone_options.norm=batch)"
            )
        super().__init__(model, card, settings, seed)

    def predict(self, batch: Batch) -> Prediction:
        """See `Adapter.predict`."""
        with batch_statistics(self._model, self.settings.source_count):
            return self._model.predict(batch)
