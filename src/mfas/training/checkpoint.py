"""Checkpoints of a training, one per epoch: safetensors, then a JSON record renamed over the last one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from mfas._files import atomic_path, make_folder, read_json, sha256, write_json
from mfas.errors import InputError, StateError

RECORD_FILE = "checkpoint.json"
DIVERGED_FILE = "diverged.json"


class Checkpoints:
    """The last good epoch under ``OUT/unfinished``.

    The record names its tensors' file and digest, and is renamed into place after them: whatever the moment of a kill,
    it points to a file that is whole. ``identity`` is what must be the same for a training to be continued.
    """

    def __init__(self, out: Path, identity: dict[str, Any]) -> None:
        self.out = out
        self.folder = out / "unfinished"
        self.identity = identity

    def open(self, resume: bool | None) -> None:
        """Make the folder. What is unfinished there stays only if it is this very training.

        ``resume`` false: anything unfinished is refused; true: another training is; None: another one is thrown away.
        Raises `InputError`.
        """
        if self.unfinished and resume is False:
            raise InputError(
                f"{self.out} holds an unfinished training: continue it with --resume or choose another --out"
            )
        if self.unfinished and self._record()["identity"] != self.identity:
            if resume:
                raise InputError(
                    f"{self.out} holds an unfinished training with another model, manifest or configuration"
                )
            self.finish()
        make_folder(self.folder)

    @property
    def unfinished(self) -> bool:
        """Whether there is something to continue."""
        return (self.folder / RECORD_FILE).is_file()

    def save(self, epochs: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Keep the state after ``epochs`` whole epochs in place of the one before."""
        file = self.folder / f"epoch-{epochs:04d}.safetensors"
        with atomic_path(file) as temporary:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary)
        record = {"identity": self.identity, "epochs": epochs, "file": file.name, "sha256": sha256(file)}
        write_json(self.folder / RECORD_FILE, {**record, "facts": facts})
        for other in self.folder.glob("*epoch-*.safetensors"):
            if other.name != file.name:
                other.unlink()

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and facts of the last good epoch; None before the first. `StateError` for a file that was changed."""
        if not self.unfinished:
            return None
        record = self._record()
        file = self.folder / record["file"]
        if not file.is_file() or sha256(file) != record["sha256"]:
            raise StateError(f"expected the checkpoint {file} as {self.folder / RECORD_FILE} describes it")
        return load_file(file), record["facts"]

    def diverged(self, epoch: int, step: int, loss: float, captures: tuple[str, ...]) -> str:
        """Write down the batch that gave ``loss``; returns what a sentence can say of it."""
        found = {"epoch": epoch, "step": step, "loss": str(loss), "captures": list(captures)}
        write_json(self.folder / DIVERGED_FILE, found)
        return f"all of them in {self.folder / DIVERGED_FILE}; {self.kept()}"

    def kept(self) -> str:
        """What a sentence can say of the last good epoch."""
        good = self._record()["epochs"] if self.unfinished else 0
        return f"the checkpoint after epoch {good - 1} is kept" if good else "there is no checkpoint yet"

    def finish(self) -> None:
        """Remove them: the training has its result."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _record(self) -> dict[str, Any]:
        record: dict[str, Any] = read_json(self.folder / RECORD_FILE, "checkpoint record", StateError)
        return record
