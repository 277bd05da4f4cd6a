"""The processes of one training: device and precision by Lightning Fabric, and what they tell each other.

Gradients are averaged here after a model's `training_step` is done, not by hooks while it runs: a step may take several
backward passes or change its gradients, and every process must end with the same ones.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from mfas.core import Batch
from mfas.models.contract import Shard


class Ranks:
    """A process among ``world``; under torchrun those that it started, else this one alone."""

    def __init__(self, accelerator: str = "cpu", precision: Any = "32-true") -> None:
        world, here = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        if world > 1:
            logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
            self.fabric: Any = Fabric(
                accelerator=accelerator,
                strategy="ddp",
                devices=here,
                num_nodes=world // here,
                precision=precision,
            )
            self.fabric.launch()
        else:
            self.fabric = Fabric(accelerator=accelerator, devices=1, precision=precision)
        self.rank, self.world = int(self.fabric.global_rank), world

    @property
    def shard(self) -> Shard:
        """The part of the global batch that this process holds."""
        return Shard(self.rank, self.world, self.mean)

    def place(self, model: nn.Module) -> None:
        """Move a model to the device and to the parameters' type of the precision, in place."""
        self.fabric.to_device(self.fabric.strategy.precision.convert_module(model))

    def tensors(self, batch: Batch, dtype: torch.dtype) -> Batch:
        """The batch on the device, images as ``dtype``."""
        images = {m: self.fabric.to_device(x).to(dtype) for m, x in batch.images.items()}
        return Batch(images=images, present=self.fabric.to_device(batch.present), ids=batch.ids)

    def backward(self, loss: Tensor) -> None:
        """Gradients of ``loss``, as the precision wants them."""
        with torch.autocast(self.fabric.device.type, enabled=False):
            self.fabric.backward(loss)

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over the processes, detached; of the same shape in each."""
        if self.world == 1:
            return values.detach().clone()
        out: Tensor = self.fabric.all_reduce(values.detach().clone(), reduce_op="mean")
        return out

    def average_gradients(self, model: nn.Module) -> None:
        """Replace every gradient by the mean over processes; one that only some of them have counts 0 in the others."""
        if self.world == 1:
            return
        learning = [p for p in model.parameters() if p.requires_grad]
        flat = [(p.grad if p.grad is not None else torch.zeros_like(p)).float().flatten() for p in learning]
        there = torch.tensor([float(p.grad is not None) for p in learning], device=flat[0].device)
        mean, start = self.mean(torch.cat([there, *flat])), len(there)
        for parameter, some in zip(learning, mean[:start].tolist(), strict=True):
            part = mean[start : start + parameter.numel()].view_as(parameter)
            parameter.grad = part.to(parameter) if some > 0 else None
            start += parameter.numel()

    def from_first(self, value: Any) -> Any:
        """The value that the first process has."""
        return value if self.world == 1 else self.fabric.broadcast(value)

    def gather(self, values: Tensor) -> Tensor:
        """``[world, ...]`` on the CPU: the tensor of every process."""
        if self.world == 1:
            return values[None]
        # between GPUs only what lies on them can be exchanged
        out: Tensor = self.fabric.all_gather(self.fabric.to_device(values))
        return out.cpu()

    def close(self) -> None:
        """Wait until every process has come here."""
        self.fabric.barrier()
