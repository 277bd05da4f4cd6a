"""What is said of a scored capture: the same words in `mfas predict` and over HTTP. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfas.card import Card
from mfas.core import MODALITIES, Label

if TYPE_CHECKING:
    from mfas.core import Prediction
    from mfas.export.predictor import OnnxPrediction


def decide(score: float, threshold: float) -> str:
    """``bona_fide`` if the score reaches the threshold, else ``attack``; NaN is an attack."""
    return (Label.BONA_FIDE if score >= threshold else Label.ATTACK).value


def answer(prediction: Prediction | OnnxPrediction, card: Card, missing: str, row: int = 0) -> dict[str, Any]:
    """One capture of a prediction as a JSON-safe mapping, decided at the card's threshold for ``missing``.

    ``modality_scores`` holds the modalities that were observed; ``substituted`` names those for which a complementary
    feature stood in; ``enhanced`` the observed ones it was mixed into, and by what share. Raises `ModelDirError` when
    the card has no threshold for ``missing``.
    """
    score, threshold = float(prediction.score[row]), card.threshold(missing)
    names = list(enumerate(MODALITIES))
    return {
        "score": score,
        "threshold": threshold,
        "decision": decide(score, threshold),
        "modality_scores": {
            m.value: float(prediction.modality_scores[row, k]) for k, m in names if bool(prediction.present[row, k])
        },
        "uncertainty": float(prediction.uncertainty[row]),
        "reliability": float(prediction.reliability[row]),
        "substituted": [m.value for k, m in names if bool(prediction.substituted[row, k])],
        "enhanced": {
            m.value: float(prediction.enhanced[row, k]) for k, m in names if float(prediction.enhanced[row, k]) > 0
        },
        "trained_on": list(card.sources),
    }
