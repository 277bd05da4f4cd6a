"""`mfas audit attack`: perturbed attacks against models, against each other's, and in the stream of a learning one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from mfas import metrics
from mfas._files import make_folder
from mfas.audit.kinds import KINDS
from mfas.audit.matrix import Matrix, MatrixCell, measure_matrix, transfer
from mfas.audit.patch import Patch, search_patch
from mfas.audit.residual import detector_auc, residuals
from mfas.audit.strength import measure_strength
from mfas.audit.victim import Prototypes, Victim, prototypes
from mfas.benchmark.attack_config import AttackConfig
from mfas.benchmark.attack_findings import attack_findings
from mfas.benchmark.attack_stream import run_streams, stream_rows
from mfas.benchmark.audit_captures import (
    AuditCaptures,
    draw,
    finish_audit,
    open_audit,
    rows_of,
)
from mfas.core import Batch, Label, Modality, parse_modalities
from mfas.errors import InputError
from mfas.report.attack_page import write_attack

Progress = Callable[[int, int], None]


def attack(config: AttackConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Perturb attack captures; writes ``OUT/attack.json``, ``OUT/attack.html``, ``OUT/config.json``, returns the first.

    Rates are fractions of captures at the thresholds of each card. Raises `InputError` and its kinds for a manifest
    without both classes, a species or attack that is not known, a model without weights, a state of another model.
    """
    opened = open_audit(config)
    manifest, victims = opened.manifest, opened.victims
    make_folder(config.out)
    chosen = draw(manifest, rows_of(manifest, Label.ATTACK, config.species), config.captures, config.seed)
    live = draw(manifest, rows_of(manifest, Label.BONA_FIDE), config.live, config.seed)
    parts = stream_rows(manifest, config)
    rows = [*chosen, *live, *(row for part in parts.values() for row in part)]
    captures = opened.captures(rows, config.workers)
    chosen, live = captures.known(chosen), captures.known(live)
    if not chosen or not live:
        raise InputError(f"expected captures with a face in {config.manifest}, got none")
    tick = _ticker(progress, len(victims) * len(config.kinds))
    bench = _Bench(config, captures, chosen, live, victims, opened.gone)
    matrices = [bench.matrix(victim, tick) for victim in victims]
    result: dict[str, Any] = {
        "captures": {"attack": len(chosen), "bona_fide": len(live), "without_face": captures.lost},
        "kinds": {name: KINDS[name].meaning for name in config.kinds},
        "budget": config.perturb.budget.model_dump(),
        "matrix": [bench.cell(matrix.victim, cell) for matrix in matrices for cell in matrix.cells],
        "transfer": bench.transfers(matrices),
        "strength": bench.strength(),
        "residual": bench.residuals(matrices),
        "patches": bench.patches(),
        "stream": run_streams(victims, captures, parts, config),
    }
    return finish_audit(result, attack_findings, config, opened, "attack", write_attack)


class _Bench:
    """One run: the captures drawn, and what each measurement makes of them."""

    def __init__(
        self,
        config: AttackConfig,
        captures: AuditCaptures,
        chosen: list[int],
        live: list[int],
        victims: Sequence[Victim],
        gone: Sequence[Modality],
    ) -> None:
        self.config = config
        self.victims = victims
        self.batches = captures.batches(chosen, config.batch_size)
        self.live = captures.batches(live, config.batch_size)
        self.species = captures.truth(chosen)[1]
        self.patterns = [p for p in config.missing if len({*parse_modalities(p), *gone}) < len(Modality)]
        self.prototypes: dict[str, Prototypes] = {v.name: prototypes(v, self.live) for v in victims}

    def matrix(self, victim: Victim, tick: Callable[[], None] | None) -> Matrix:
        return measure_matrix(
            victim,
            self.batches,
            self.config.kinds,
            self.patterns,
            self.config.perturb,
            live=self.prototypes[victim.name],
            every_pattern=self.config.every_pattern,
            seed=self.config.seed,
            progress=tick,
        )

    def cell(self, victim: str, cell: MatrixCell) -> dict[str, Any]:
        count = len(cell.accepted)
        row: dict[str, Any] = {"victim": victim, "kind": cell.kind, "missing": cell.missing, "count": count}
        row |= {"accepted": _share(cell.accepted), "taught": _share(cell.taught), "gain": cell.gain}
        if count:
            exact = metrics.clopper_pearson(int(cell.accepted.sum()), count, unit="capture")
            row["interval"] = {"low": exact.low, "high": exact.high}
        if not cell.missing:
            row["by_species"] = _by_species(cell.accepted, self.species)
        return row

    def transfers(self, matrices: Sequence[Matrix]) -> list[dict[str, Any]]:
        """Perturbed against one model, shown to another; both with all sensors."""
        rows = []
        for matrix in matrices:
            for kind, perturbed in matrix.perturbed.items():
                for victim in self.victims:
                    rate = _share(transfer(victim, perturbed))
                    clean = _share(transfer(victim, self.batches))
                    rows.append(
                        {"from": matrix.victim, "to": victim.name, "kind": kind, "accepted": rate, "clean": clean}
                    )
        return rows

    def strength(self) -> list[dict[str, Any]]:
        """The check of the search itself, on the first captures."""
        count = min(self.config.strength, sum(map(len, self.batches)))
        rows = []
        for victim in self.victims if count else ():
            some = _first(self.batches, count)
            found = measure_strength(victim, some, "all", self.config.perturb, seed=self.config.seed)
            rows += [
                {
                    "victim": victim.name,
                    "varied": one.varied,
                    "value": one.value,
                    "accepted": one.accepted,
                    "objective": one.objective,
                }
                for one in found
            ]
        return rows

    def residuals(self, matrices: Sequence[Matrix]) -> list[dict[str, Any]]:
        """AUC of the complement residual: noise in one modality against the same captures, and against faces."""
        rows = []
        for victim, matrix in zip(self.victims, matrices, strict=True):
            for modality in Modality:
                if modality.value not in matrix.perturbed:
                    continue
                noisy = residuals(victim, matrix.perturbed[modality.value], modality)
                same, faces = (residuals(victim, clean, modality) for clean in (self.batches, self.live))
                if noisy is not None and same is not None and faces is not None:
                    row = {"victim": victim.name, "modality": modality.value, "count": len(noisy)}
                    row |= {"auc_same": detector_auc(noisy, same), "auc_bona_fide": detector_auc(noisy, faces)}
                    rows.append(row | {"auc_clean": detector_auc(same, faces)})
        return rows

    def patches(self) -> list[dict[str, Any]]:
        """The best universal patch of each modality."""
        rows = []
        for victim in self.victims if self.config.patch.captures else ():
            some = self.batches[0]
            for modality in Modality:
                patch = search_patch(victim, some, modality, self.config.patch, self.config.seed)
                if patch is not None:
                    rows.append(
                        {"victim": victim.name, "count": min(len(some), self.config.patch.judged), **_patch(patch)}
                    )
        return rows


def _ticker(progress: Progress | None, total: int) -> Callable[[], None] | None:
    """Counts calls, for a progress bar."""
    if progress is None:
        return None
    advance, numbers = progress, iter(range(1, total + 1))
    return lambda: advance(next(numbers), total)


def _patch(patch: Patch) -> dict[str, Any]:
    return {
        "modality": patch.modality.value,
        "top": patch.top,
        "left": patch.left,
        "side": patch.values.shape[-1],
        "clean": patch.clean,
        "accepted": patch.accepted,
        "shift": patch.shift,
        "lowest": patch.lowest,
    }


def _first(batches: Sequence[Batch], count: int) -> list[Batch]:
    """The first ``count`` captures, in batches as they are."""
    out: list[Batch] = []
    for batch in batches:
        if count > 0:
            out.append(batch.select(torch.arange(min(count, len(batch)))))
            count -= len(batch)
    return out


def _share(flags: torch.Tensor) -> float | None:
    return float(flags.double().mean()) if len(flags) else None


def _by_species(flags: torch.Tensor, species: Sequence[str]) -> dict[str, float]:
    values = flags.tolist()
    if len(values) != len(species):
        return {}
    return {
        name: sum(v for v, s in zip(values, species, strict=True) if s == name) / species.count(name)
        for name in sorted(set(species))
    }
