"""What a running service is made of, and the way of a capture through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from mfas.export.record import as_json, threshold_id
from mfas.service.adapting import Adaptation
from mfas.service.deciding import DIGITS, Decision, Given, Ready, Rules, decide, prepare
from mfas.service.inference import Budget, OnnxScorer, Scorer
from mfas.service.keys import Key
from mfas.service.limits import Ceiling, RateLimiter
from mfas.service.metrics import Metrics
from mfas.service.probing import ProbeWatch, look_of
from mfas.service.settings import ServeConfig
from mfas.service.signing import Identity, Secret
from mfas.service.states import SOURCE
from mfas.service.store import NonceSeenError, Policy, Site, Store, StoredDecision
from mfas.weights import default_directory

T = TypeVar("T")
_STORE_THREADS = 8


@dataclass(frozen=True, slots=True)
class Answered:
    """A capture's decision, the model and state it came from, and what it is recorded under."""

    request_id: str
    decision: Decision
    scorer: Scorer
    stored: StoredDecision


class Service:
    """One process of the service. `start` and `stop` belong to the server; everything else to its routes."""

    def __init__(self, config: ServeConfig, store: Store, secret: Secret) -> None:
        self.config, self.store, self.secret = config, store, secret
        limits = config.limits
        directory = config.model or default_directory()
        self.source = OnnxScorer(directory, config.threads)
        self.adaptation = Adaptation(store, secret, self.source, directory, config.learning, config.threads)
        self.budget = Budget(config.workers, limits.queue)
        self.rate = RateLimiter(limits.rate_per_second, limits.burst)
        self.places = Ceiling(limits.concurrent_requests, "expected fewer requests at one time")
        memory = "expected fewer bytes at one time"
        self.memory = Ceiling(int(limits.memory_mib * 1024 * 1024), memory)
        self.watch = ProbeWatch(config.probing)
        self.metrics = Metrics(lambda: self.budget.depth)
        self.rules = Rules(limits.pixels, config.smallest_face, config.yunet)
        self.ready = False
        self._threads: CapacityLimiter | None = None

    def start(self) -> None:
        """Warm the model up, and let learn what may; from here on the service is ready."""
        self.source.warm()
        self.adaptation.start()
        self.ready = True

    def stop(self) -> None:
        """Let what runs end, and give everything back."""
        self.ready = False
        self.budget.close()
        self.adaptation.stop()
        self.store.close()

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run what waits for the store, away from the event loop."""
        if self._threads is None:
            self._threads = CapacityLimiter(_STORE_THREADS)
        return await to_thread.run_sync(work, limiter=self._threads)

    def has_keys(self) -> bool:
        """Whether a key was ever made: from then on nobody is served without one, be they all revoked."""
        return bool(self.store.keys())

    async def judge(
        self,
        site: Site,
        request_id: str,
        captures: Sequence[Given],
        key: Key | None,
        *,
        batch: bool = False,
        teach: bool = True,
    ) -> list[Answered]:
        """Decide on the captures of one request in one network batch; recorded before this returns.

        Captures of a ``batch`` are recorded as ``REQUEST.0``, ``REQUEST.1`` and so on. Without ``teach`` nothing is
        learnt from them, whatever the site's policy.
        Raises `ImageError`, `BusyError`, `DeadlineError`, `NonceSeenError`.
        """
        hidden = [self._hidden(site.name, given) for given in captures]
        nonces = [given.nonce for given in hidden if given.nonce is not None]
        if nonces:
            await self.in_thread(partial(self._refuse_replays, site.name, nonces))
        # a thread only where the store has to be asked: each hand-over costs a third of a millisecond
        scorer = self.source if site.state == SOURCE else await self.in_thread(partial(self.adaptation.scorer, site))
        decisions = await self._decide(captures, scorer)
        answered = []
        for number, (given, decision) in enumerate(zip(hidden, decisions, strict=True)):
            own = f"{request_id}.{number}" if batch else request_id
            stored = _stored(own, site.name, decision, given, scorer, key)
            answered.append(Answered(own, decision, scorer, stored))
        await self.in_thread(partial(self.store.record_decisions, [one.stored for one in answered]))
        await self._after(site, answered, teach)
        return answered

    async def _decide(self, captures: Sequence[Given], scorer: Scorer) -> list[Decision]:
        seconds = self.config.limits.deadline_seconds
        if len(captures) == 1:
            (found,) = await self.budget.run([partial(self._whole, captures[0], scorer)], seconds)
            return [found]
        jobs = [partial(prepare, given, scorer.card, self.rules) for given in captures]
        ready: list[Ready | Decision] = await self.budget.run(jobs, seconds)
        (together,) = await self.budget.run([partial(decide, ready, scorer)], seconds)
        return together

    def _whole(self, given: Given, scorer: Scorer) -> Decision:
        return decide([prepare(given, scorer.card, self.rules)], scorer)[0]

    def _refuse_replays(self, site: str, nonces: Sequence[str]) -> None:
        """Cheap and early; the store refuses again when the decision is recorded, which no race gets around."""
        if any(self.store.nonce_seen(site, nonce) for nonce in nonces):
            raise NonceSeenError("expected a nonce that was never used at this site, got one that was")

    def _hidden(self, site: str, given: Given) -> Given:
        """The same with keyed hashes in place of pseudonyms."""

        def hashed(kind: Identity, value: str | None) -> str | None:
            return None if value is None else self.secret.pseudonym(site, kind, value)

        return replace(
            given,
            images={},
            subject=hashed("subject", given.subject),
            device=hashed("device", given.device),
            session=hashed("session", given.session),
            nonce=hashed("nonce", given.nonce),
        )

    async def _after(self, site: Site, answered: Sequence[Answered], teach: bool) -> None:
        for one in answered:
            stored, decision = one.stored, one.decision
            self.metrics.outcomes.labels(site.name, stored.outcome, stored.decision or "-").inc()
            if decision.planes is None or stored.score is None:
                continue
            source = f"{site.name}/{stored.key_id or '-'}"
            reason = self.watch.see(source, look_of(decision.planes), float(decision.said["score"]))
            if teach and site.policy is not Policy.OFF:
                await self.in_thread(partial(self.adaptation.offer, site, decision, stored))
            if reason is not None:
                self.metrics.alarms.labels(site.name).inc()
                await self.in_thread(partial(self._alarm, stored, reason))

    def _alarm(self, stored: StoredDecision, reason: str) -> None:
        """A row of the ledger: whose key, what looked like probing; the device stands in the decision's own row."""
        facts = {"reason": reason, "key": stored.key_id, "request_id": stored.request_id}
        self.store.note("probing_alarm", stored.site, facts)


def _stored(
    request_id: str, site: str, decision: Decision, given: Given, scorer: Scorer, key: Key | None
) -> StoredDecision:
    said = decision.said
    return StoredDecision(
        request_id=request_id,
        site=site,
        outcome=decision.outcome.value,
        present=decision.present,
        missing=decision.missing,
        model_id=scorer.model_id,
        state_id=scorer.state_id,
        key_id=None if key is None else key.id,
        reason=decision.reason,
        decision=said.get("decision"),
        score=_rounded(said.get("score")),
        threshold=said.get("threshold"),
        threshold_id=threshold_id(scorer.model_id, decision.missing) if said else None,
        modality_scores={m: round(score, DIGITS) for m, score in said.get("modality_scores", {}).items()},
        uncertainty=_rounded(said.get("uncertainty")),
        substituted=tuple(said.get("substituted", ())),
        subject=given.subject,
        device=given.device,
        session=given.session,
        nonce=given.nonce,
        record=as_json(decision.record),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
