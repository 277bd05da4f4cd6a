"""What may be chosen about an explanation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mfas.config import Config

Method = Literal["integrated_gradients", "input_x_gradient", "gradient"]


class ExplainSettings(Config):
    """How maps are made, and how much is spent on checking them.

    ``noise`` is in units of the network's input (`mfas.card.Preprocess`): 0.02 is about 1.3 levels of 255 in RGB and
    3 mm of depth.
    """

    saliency: Method = "integrated_gradients"
    steps: int = Field(12, ge=2, le=512, description="points on the path of integrated gradients")
    cells: int = Field(14, ge=2, le=64, description="cells of a map across, at most")
    noise: float = Field(0.02, gt=0, le=1)
    draws: int = Field(6, ge=1, le=100, description="disturbed copies for stability")
    deletion_steps: int = Field(8, ge=2, le=100, description="shares of cells that are deleted")
    random_orders: int = Field(4, ge=1, le=100, description="random orders that a map is held against")


DEFAULTS = ExplainSettings()
"""What the command takes when nothing is said."""
