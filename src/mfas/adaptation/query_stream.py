"""A detector of query streams: visitors of a door come as they are, queries are unsure, and too near or too far apart.

Two statistics per window of queries: the share whose score has an entropy above half of ln 2, and the median distance
of a query's feature to the nearest earlier one. Limits come from benign traffic.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from mfas.config import Config
from mfas.core import MODALITIES, Batch
from mfas.models.contract import FasModel
from mfas.models.uncertainty import binary_entropy


class DetectorSettings(Config):
    """Window in queries; entropy, as a fraction of ln 2, above which a query is unsure; how far limits lie outside."""

    window: int = Field(25, ge=2)
    unsure: float = Field(0.5, gt=0, lt=1)
    slack: float = Field(0.1, ge=0, description="beyond the extremes of benign windows, as a share of their spread")


@dataclass(frozen=True, slots=True)
class Stream:
    """Per query, in order: ``entropy`` ``[Q]`` in [0, 1] and unit-length ``feature`` ``[Q, D]``."""

    entropy: Tensor
    feature: Tensor


@dataclass(frozen=True, slots=True)
class Limits:
    """Benign windows stay within these."""

    unsure: tuple[float, float]
    distance: tuple[float, float]


@torch.no_grad()
def watch(model: FasModel, batches: Iterable[Batch]) -> Stream:
    """What a service can note of the queries it answers: no pixels, no labels."""
    entropy, feature = [], []
    for batch in batches:
        output = model(batch)
        entropy.append(binary_entropy(torch.sigmoid(output.logit)))
        joined = torch.cat([output.features[m] for m in MODALITIES if m in output.features], dim=1)
        feature.append(torch.nn.functional.normalize(joined, dim=1))
    return Stream(torch.cat(entropy), torch.cat(feature))


def windows(stream: Stream, settings: DetectorSettings) -> tuple[Tensor, Tensor]:
    """The two statistics ``[W]`` each, over whole windows after each other; the first query has no distance."""
    apart = nearest(stream.feature)
    count = len(apart) // settings.window
    shape = (count, settings.window)
    unsure = (stream.entropy > settings.unsure).double()[: count * settings.window].view(shape).mean(dim=1)
    distance = apart[: count * settings.window].view(shape).nanmedian(dim=1).values
    return unsure, distance


def limits_of(benign: Stream, settings: DetectorSettings) -> Limits:
    """Extremes over benign windows, with some slack."""
    unsure, distance = windows(benign, settings)
    return Limits(*(span(values, settings.slack) for values in (unsure, distance)))


def alarms(stream: Stream, limits: Limits, settings: DetectorSettings) -> Tensor:
    """Bool ``[W]``: windows in which either statistic leaves its limits."""
    unsure, distance = windows(stream, settings)
    return outside(unsure, limits.unsure) | outside(distance, limits.distance)


def first_alarm(stream: Stream, limits: Limits, settings: DetectorSettings) -> int | None:
    """Queries answered when the first alarm goes off; None = never."""
    found = alarms(stream, limits, settings).nonzero().flatten()
    return (int(found[0]) + 1) * settings.window if len(found) else None


def nearest(feature: Tensor, after: int = 0) -> Tensor:
    """Distance of each feature from number ``after`` on to the nearest earlier one; NaN for the very first."""
    out = torch.full((len(feature) - after,), torch.nan, dtype=torch.float64)
    for i in range(max(1, after), len(feature)):
        out[i - after] = (feature[:i] - feature[i]).norm(dim=1).min()
    return out


def span(values: Tensor, slack: float) -> tuple[float, float]:
    """Smallest and largest, and ``slack`` of their distance beyond."""
    low, high = float(values.min()), float(values.max())
    return low - slack * (high - low), high + slack * (high - low)


def outside(values: Tensor, limits: tuple[float, float]) -> Tensor:
    """Bool, shape of ``values``."""
    return (values < limits[0]) | (values > limits[1])
