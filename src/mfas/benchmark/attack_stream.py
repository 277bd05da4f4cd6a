"""Perturbed captures in the stream of a model that learns: each protection on and off, clean error rates afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from mfas import metrics
from mfas.adaptation.guards.labelled import LabelledSet
from mfas.adaptation.registry import create
from mfas.audit.kinds import perturb
from mfas.audit.poisoning import after_stream, probe_scores, variants
from mfas.audit.victim import Victim, chunks, prototypes
from mfas.benchmark.attack_config import AttackConfig
from mfas.benchmark.audit_captures import AuditCaptures, both_classes, draw_balanced, roles
from mfas.core import Batch
from mfas.data.manifest import Manifest

SHARES = {"stream": 0.5, "probe": 0.3, "canary": 0.2}


def stream_rows(manifest: Manifest, config: AttackConfig) -> dict[str, list[int]]:
    """Rows of stream, probe and canary, people kept apart; empty where no streams are asked for.

    Raises `InputError` when there are too few people for both classes in each.
    """
    part = config.stream
    if not part.captures:
        return {}
    counts = {"stream": part.captures, "probe": part.probe, "canary": part.canary}
    found = roles(manifest, SHARES, config.seed)
    out = {}
    for role, rows in found.items():
        if counts[role]:
            out[role] = draw_balanced(manifest, rows, counts[role], config.seed)
            both_classes(manifest, out[role], f"the {role} of an attacked stream")
    return out


def run_streams(
    victims: Sequence[Victim], captures: AuditCaptures, rows: dict[str, list[int]], config: AttackConfig
) -> list[dict[str, Any]]:
    """Every variant of `mfas.audit.poisoning`, without and with perturbed captures; the unadapted model first."""
    if not rows:
        return []
    out: list[dict[str, Any]] = []
    for victim in victims:
        bench = _Streams(victim, captures, rows, config)
        out.append(bench.unadapted())
        out += [bench.run(index, share) for index in range(len(bench.variants)) for share in (0.0, config.stream.share)]
    return out


class _Streams:
    def __init__(
        self, victim: Victim, captures: AuditCaptures, rows: dict[str, list[int]], config: AttackConfig
    ) -> None:
        self.victim, self.config = victim, config
        known = {role: captures.known(part) for role, part in rows.items()}
        threshold = victim.card.threshold()
        self.probe = captures.labelled(known["probe"], config.batch_size, threshold)
        self.canary: LabelledSet | None = None
        if "canary" in known:
            self.canary = captures.labelled(known["canary"], config.batch_size, threshold)
        self.variants = variants(canary=self.canary is not None)
        stream = np.random.default_rng(config.seed).permutation(known["stream"]).tolist()
        self.clean = captures.batch(stream)
        genuine, _ = captures.truth(stream)
        attacks = (~genuine).nonzero().flatten().tolist()
        self.chosen = attacks[: round(config.stream.share * len(attacks))]
        live = prototypes(victim, captures.batches([r for r, g in zip(stream, genuine, strict=True) if g], 32))
        self.poisoned = self._replaced(live)

    def unadapted(self) -> dict[str, Any]:
        adapter = create("source", self.victim.model, self.victim.card)
        bona_fide, attacks = probe_scores(adapter, self.probe)
        threshold = self.probe.threshold
        return {
            "victim": self.victim.name,
            "variant": "unadapted",
            "share": 0.0,
            "updates": 0,
            "perturbed": 0,
            "taught": 0,
            "drift": 0.0,
            "bpcer": metrics.bpcer(bona_fide, threshold),
            "apcer": metrics.apcer(attacks, threshold),
            "apcer_max": metrics.apcer_max(attacks, threshold),
            "n_bona_fide": len(bona_fide),
            "n_attack": sum(map(len, attacks.values())),
        }

    def run(self, index: int, share: float) -> dict[str, Any]:
        variant = self.variants[index]
        batch = self.poisoned if share else self.clean
        names = frozenset(batch.ids.capture_id[place] for place in self.chosen) if share else frozenset[str]()
        size = self.config.stream.batch_size
        stream = [batch.select(rows) for rows in chunks(len(batch), size)]
        victim = self.victim
        found = after_stream(
            victim.model, victim.card, variant, stream, names, self.probe, self.canary, self.config.seed
        )
        return {"victim": victim.name, "variant": variant.name, "share": share, **asdict(found)}

    def _replaced(self, live: Any) -> Batch:
        """The stream with the chosen attacks perturbed against the unadapted model."""
        images = {m: x.clone() for m, x in self.clean.images.items()}
        for start in range(0, len(self.chosen), self.config.batch_size):
            places = torch.tensor(self.chosen[start : start + self.config.batch_size])
            kind = self.config.stream.kind
            found = perturb(self.victim, self.clean.select(places), kind, self.config.perturb, live, self.config.seed)
            for modality, image in found.batch.images.items():
                images[modality][places] = image
        return Batch(images, self.clean.present, self.clean.ids)
