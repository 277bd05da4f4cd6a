"""No adaptation: the row every other row is held against."""

from __future__ import annotations

from mfas.adaptation.registry import register
from mfas.adaptation.stateless import StatelessAdapter
from mfas.core import Batch, Prediction


@register("source")
class Source(StatelessAdapter):
    """Scores and never learns."""

    reason = "source never learns"
    starts_as_source = True

    def predict(self, batch: Batch) -> Prediction:
        """See `Adapter.predict`."""
        return self._model.predict(batch)
