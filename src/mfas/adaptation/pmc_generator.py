"""PMC's generator of a missing modality: here of its lower map, from those of the others; smaller than an encoder."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, l1_loss

from mfas.adaptation.pmc_terms import DomainHead
from mfas.adaptation.pool import MapPool, shuffled
from mfas.core import MODALITIES, Modality
from mfas.models.contract import Maps


class MapGenerator(nn.Module):
    """A small U-net: maps of the two other modalities and a class to the map of the one between them.

    One step down, the class beside the narrow map as a plane of -1 (attack) or 1, one step up with a skip connection.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(2 * channels, width, 1)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.narrow = nn.Conv2d(2 * width + 1, 2 * width, 1)
        self.up = nn.Conv2d(3 * width, width, 3, padding=1)
        self.out = nn.Conv2d(width, channels, 1)

    def forward(self, others: Tensor, genuine: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, 2C, h, w]`` and bool ``[B]`` to the map ``[B, C, h, w]`` and the pooled narrow map before the class."""
        wide = torch.relu(self.reduce(others))
        low = torch.relu(self.down(wide))
        plane = (2 * genuine.to(low.dtype) - 1).view(-1, 1, 1, 1).expand(-1, 1, *low.shape[2:])
        narrow = torch.relu(self.narrow(torch.cat([low, plane], dim=1)))
        back = interpolate(narrow, size=wide.shape[2:])
        return self.out(torch.relu(self.up(torch.cat([wide, back], dim=1)))), low.mean(dim=(2, 3))


def others_of(maps: Maps, present: Tensor, modality: Modality) -> Tensor:
    """``[B, 2C, h, w]``: maps of the two others in canonical order, zero where ``present`` bool ``[B, 3]`` says so."""
    like = next(iter(maps.values()))
    parts = []
    for column, m in enumerate(MODALITIES):
        if m is not modality:
            parts.append(maps[m] * present[:, column].view(-1, 1, 1, 1) if m in maps else torch.zeros_like(like))
    return torch.cat(parts, dim=1)


def complete(
    generators: Mapping[Modality, MapGenerator], maps: Maps, present: Tensor, genuine: Tensor
) -> tuple[Maps, Tensor]:
    """Maps and presence with what ``generators`` make where a modality is missing; ``genuine`` bool ``[B]``."""
    filled, shown = dict(maps), present.clone()
    for modality, generator in generators.items():
        column = MODALITIES.index(modality)
        rows = (~present[:, column]).nonzero().squeeze(1)
        if len(rows):
            made, _ = generator(others_of(maps, present, modality)[rows], genuine[rows])
            base = maps[modality] if modality in maps else made.new_zeros((len(present), *made.shape[1:]))
            filled[modality] = base.index_copy(0, rows, made)
            shown[rows, column] = True
    return filled, shown


def train_generator(
    modality: Modality,
    source: MapPool,
    genuine: Tensor,
    target: MapPool,
    *,
    passes: int,
    batch_size: int,
    learning_rate: float,
    width: int,
    domain_weight: float,
    domain_hidden: int,
    seed: int,
) -> MapGenerator | None:
    """A generator of ``modality`` for the target captures that lack it; None where the source cannot teach it.

    Source captures lose what a target capture drawn at random lacks. The loss is the mean absolute error and, from half
    of the passes on, a reversed domain loss on the narrow map.
    """
    column = MODALITIES.index(modality)
    lacking = (~target.present[:, column]).nonzero().squeeze(1)
    usable = (source.present[:, column] & (source.present.sum(dim=1) >= 2)).nonzero().squeeze(1)
    if not len(lacking) or not len(usable):
        return None
    channels = next(iter(source.take(usable[:1])[0].values())).shape[1]
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net, domain = MapGenerator(channels, width), DomainHead(2 * width, domain_hidden)
    parameters = [*net.parameters(), *domain.parameters()]
    adam = torch.optim.Adam(parameters, learning_rate, betas=(0.5, 0.999), weight_decay=3e-4)
    for number in range(passes):
        for chosen in shuffled(len(usable), batch_size, generator):
            index = usable[chosen]
            like = lacking[torch.randint(len(lacking), (len(index),), generator=generator)]
            maps, present = source.take(index)
            there = present.clone()
            there[:, column] = False
            seen = there & target.present[like]
            seen = torch.where(seen.any(dim=1, keepdim=True), seen, there)
            with torch.enable_grad():
                made, narrow = net(others_of(maps, seen, modality), genuine[index])
                loss = l1_loss(made, maps[modality])
                if domain_weight and 2 * number >= passes:
                    elsewhere, shown = target.take(like)
                    # the class enters above the narrow map, so any will do here
                    _, far = net(others_of(elsewhere, shown, modality), genuine[index])
                    loss = loss + domain_weight * domain.loss(narrow, far, 1.0)
                loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            adam.zero_grad(set_to_none=True)
    return net.eval().requires_grad_(False)
