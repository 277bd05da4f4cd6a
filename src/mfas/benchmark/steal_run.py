"""`mfas audit steal`: clones of a model from the answers to queries, and what slows them down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import torch

from mfas import metrics
from mfas._files import make_folder
from mfas.adaptation.contract import Adapter
from mfas.adaptation.query_stream import Stream, alarms, first_alarm, limits_of, watch
from mfas.adaptation.registry import create as create_adapter
from mfas.audit.kinds import perturb
from mfas.audit.oracle import AnswerKind, Oracle
from mfas.audit.poisoning import probe_scores
from mfas.audit.queries import Strategy
from mfas.audit.stealing import Stolen, compare, steal
from mfas.audit.victim import Victim, accepted, chunks
from mfas.benchmark.audit_captures import (
    AuditCaptures,
    both_classes,
    draw,
    draw_balanced,
    finish_audit,
    open_audit,
    roles,
)
from mfas.benchmark.steal_config import StealConfig
from mfas.benchmark.steal_findings import steal_findings
from mfas.card import Card
from mfas.core import Batch
from mfas.data.manifest import Manifest
from mfas.errors import InputError
from mfas.models.registry import create
from mfas.report.steal_page import write_steal

SHARES = {"pool": 0.2, "test": 0.4, "traffic": 0.4}
_BATCH = 32
Score = Callable[[Batch], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Plan:
    """One clone to make. ``defence`` is ``""``, ``rate limit``, ``detector``, ``learning`` or ``learning, guarded``."""

    queries: int
    strategy: Strategy
    answers: AnswerKind
    defence: str = ""


def plans(config: StealConfig) -> list[Plan]:
    """Every strategy on the finest answers, coarser answers to the last strategy, then each defence at most queries."""
    best, fine = config.strategies[-1], config.answers[0]
    out = [Plan(count, strategy, fine) for count in config.queries for strategy in config.strategies]
    out += [Plan(count, best, answers) for count in config.queries for answers in config.answers[1:]]
    most = config.queries[-1]
    out += [Plan(most, best, fine, defence) for defence in ("rate limit", "detector")]
    learners = ("learning", "learning, guarded") if config.adapting else ()
    return out + [Plan(count, best, fine, defence) for count in config.queries for defence in learners]


def rob(config: StealConfig, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Steal; writes ``OUT/steal.json``, ``OUT/steal.html``, ``OUT/config.json``, returns the first.

    Raises `InputError` and its kinds for a manifest with too few people, a model without weights, a state of another
    model, a clone that is not registered.
    """
    opened = open_audit(config)
    victims, rows = opened.victims, _rows(opened.manifest, config)
    make_folder(config.out)
    captures = opened.captures([row for part in rows.values() for row in part], config.workers)
    rows = {role: captures.known(part) for role, part in rows.items()}
    clones: list[dict[str, Any]] = []
    detectors: list[dict[str, Any]] = []
    planned = plans(config)
    for victim in victims:
        bench = _Bench(victim, captures, rows, config)
        detectors.append(bench.detector_facts())
        for row in bench.run(planned):
            clones.append(row)
            if progress is not None:
                progress(len(clones), len(victims) * len(planned))
    result: dict[str, Any] = {
        "captures": {role: len(part) for role, part in rows.items()} | {"without_face": captures.lost},
        "clones": clones,
        "detectors": detectors,
    }
    return finish_audit(result, steal_findings, config, opened, "steal", write_steal)


def _rows(manifest: Manifest, config: StealConfig) -> dict[str, list[int]]:
    """Captures of the thief, of the comparison, and benign traffic in order of arrival, people kept apart."""
    found = roles(manifest, SHARES, config.seed)
    label = manifest.column("label")
    genuine = found["traffic"][label[found["traffic"]] == "bona_fide"]
    arrival = manifest.column("timestamp")
    out = {
        "pool": draw_balanced(manifest, found["pool"], config.pool, config.seed),
        "test": draw_balanced(manifest, found["test"], config.test, config.seed),
        "traffic": sorted(draw(manifest, genuine, config.traffic, config.seed), key=lambda row: float(arrival[row])),
    }
    both_classes(manifest, out["test"], "the comparison")
    least = 4 * config.detector.window
    if len(out["traffic"]) < least:
        raise InputError(
            f"expected {least} bona fide captures of other people as benign traffic (four windows), "
            f"got {len(out['traffic'])}"
        )
    return out


class _Bench:
    """One victim: what it answers, what is compared, and what its detector takes for benign."""

    def __init__(
        self, victim: Victim, captures: AuditCaptures, rows: dict[str, list[int]], config: StealConfig
    ) -> None:
        self.victim, self.config = victim, config
        self.pool = captures.batch(rows["pool"])
        self.test = captures.labelled(rows["test"], _BATCH, victim.card.threshold())
        self.genuine, self.species = captures.truth(rows["test"])
        self.attacks = captures.batch([r for r, g in zip(rows["test"], self.genuine.tolist(), strict=True) if not g])
        self.attacks = self.attacks.select(torch.arange(min(config.transfer, len(self.attacks))))
        half = len(rows["traffic"]) // 2
        self.traffic = captures.batches(rows["traffic"][:half], config.steal.ask_at_once)
        self.calm, self.later = (
            watch(victim.model, captures.batches(part, _BATCH))
            for part in (rows["traffic"][:half], rows["traffic"][half:])
        )
        self.limits = limits_of(self.calm, config.detector)
        self.white_box = self._perturbed_on(victim, victim) if len(self.attacks) else None

    def detector_facts(self) -> dict[str, Any]:
        """Limits, and how often benign traffic that they did not come from is taken for a thief."""
        found = alarms(self.later, self.limits, self.config.detector)
        facts = {"victim": self.victim.name, "window": self.config.detector.window, "benign_windows": len(found)}
        return facts | {**asdict(self.limits), "false_alarms": float(found.double().mean())}

    def run(self, planned: Sequence[Plan]) -> Iterator[dict[str, Any]]:
        """One row per clone."""
        first: dict[Plan, int | None] = {}
        for plan in planned:
            limit = None
            if plan.defence == "rate limit":
                limit = self.config.rate_limit
            elif plan.defence == "detector":
                limit = first.get(Plan(plan.queries, plan.strategy, plan.answers))
            start = perf_counter()
            if plan.defence.startswith("learning"):
                row = self._against_a_learner(plan)
            else:
                row, first[plan] = self._against_the_model(plan, limit)
            yield row | {"seconds": perf_counter() - start}

    def _against_the_model(self, plan: Plan, limit: int | None) -> tuple[dict[str, Any], int | None]:
        model = self.victim.model
        oracle = Oracle(lambda batch: model.predict(batch).score, self.victim.card.threshold(), plan.answers, limit)
        stolen = self._steal(oracle, plan)
        row = self._row(plan, oracle, stolen, lambda batch: model.predict(batch).score)
        seen = self._watched(stolen)
        alarm = first_alarm(seen, self.limits, self.config.detector)
        share = alarms(seen, self.limits, self.config.detector).double()
        return row | {"alarm": alarm, "alarms": float(share.mean()) if len(share) else None}, alarm

    def _against_a_learner(self, plan: Plan) -> dict[str, Any]:
        """The victim learns, first from calm traffic, then from every query; compared with what it has become."""
        source = {name: tensor.clone() for name, tensor in self.victim.model.state_dict().items()}
        adapter = self._learner(guarded=plan.defence != "learning")
        for batch in self.traffic:
            adapter.step(batch)
        learnt = 0

        def answer(batch: Batch) -> torch.Tensor:
            nonlocal learnt
            prediction, report = adapter.step(batch)
            learnt += report.updated
            return prediction.score

        oracle = Oracle(answer, self.victim.card.threshold(), plan.answers)
        before = self._rates(adapter)
        stolen = self._steal(oracle, plan)
        row = self._row(plan, oracle, stolen, lambda batch: adapter.predict(batch).score)
        facts: dict[str, Any] = {"alarm": None, "alarms": None, "updates": learnt}
        facts |= {"victim_before": before, "victim_after": self._rates(adapter)}
        self.victim.model.load_state_dict(source)
        return row | facts

    def _learner(self, *, guarded: bool) -> Adapter:
        """`mfas_danet`; ``guarded`` by what it knows of calm traffic, every window of which it will have seen."""
        name, settings = "mfas_danet", {}
        if guarded:
            calm = sum(map(len, self.traffic)) // self.config.detector.window
            name, settings = "mfas_danet+queries", {"queries": {**self.config.detector.model_dump(), "calibrate": calm}}
        return create_adapter(name, self.victim.model, self.victim.card, settings, self.config.seed)

    def _steal(self, oracle: Oracle, plan: Plan) -> Stolen:
        torch.manual_seed(self.config.seed)
        spec = self.victim.card.preprocess
        model = create(self.config.clone, spec, self.config.clone_architecture)
        card = Card(model=self.config.clone, preprocess=spec, thresholds=dict(self.victim.card.thresholds))
        clone = Victim("clone", model.eval(), card)
        return steal(oracle, clone, self.pool, plan.queries, plan.strategy, self.config.steal, self.config.seed)

    def _row(self, plan: Plan, oracle: Oracle, stolen: Stolen, score: Score) -> dict[str, Any]:
        own = torch.cat([stolen.clone.model.predict(batch).score for batch in self.test.batches])
        theirs = torch.cat([score(batch) for batch in self.test.batches])
        found = compare(own, theirs, self.genuine, oracle, self.species)
        row = {"victim": self.victim.name, **asdict(plan), "asked": oracle.asked, **asdict(found)}
        row["victim_hter"] = compare(theirs, theirs, self.genuine, _deciding(self.victim), self.species).hter
        row["transfer"] = self._perturbed_on(stolen.clone, self.victim) if len(self.attacks) else None
        clean = accepted(self.victim, self.attacks, "") if len(self.attacks) else None
        row["transfer_clean"] = None if clean is None else float(clean.double().mean())
        return row | {"white_box": self.white_box}

    def _perturbed_on(self, surrogate: Victim, victim: Victim) -> float:
        """Accept rate at ``victim`` of attacks that were perturbed against ``surrogate``."""
        parts = [self.attacks.select(rows) for rows in chunks(len(self.attacks), _BATCH)]
        found = [perturb(surrogate, part, "all", self.config.perturb, seed=self.config.seed).batch for part in parts]
        return float(torch.cat([accepted(victim, batch, "") for batch in found]).double().mean())

    def _watched(self, stolen: Stolen) -> Stream:
        parts = chunks(len(stolen.queries), _BATCH)
        return watch(self.victim.model, [stolen.queries.select(rows) for rows in parts])

    def _rates(self, adapter: Adapter) -> dict[str, float]:
        bona_fide, attacks = probe_scores(adapter, self.test)
        threshold = self.victim.card.threshold()
        return {"bpcer": metrics.bpcer(bona_fide, threshold), "apcer": metrics.apcer(attacks, threshold)}


def _deciding(victim: Victim) -> Oracle:
    return Oracle(lambda batch: victim.model.predict(batch).score, victim.card.threshold(), "score")
