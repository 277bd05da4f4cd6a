"""A site's learner: a shadow is taught by what the site answers, and its candidates go to the canary and to a person.

What is learnt from a capture never reaches its answer. After a restart, or when another node takes over, the shadow
starts again from the state in force, with an empty memory: what it had learnt since is lost, nothing else.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from copy import deepcopy
from threading import Lock
from time import monotonic

from mfas.data.dataset import collate
from mfas.service.canary import Canary, Scores
from mfas.service.in_force import ForgedStateError, SourceModel, checked_delta
from mfas.service.leading import lease
from mfas.service.learning_config import LearnerStatus, LearningConfig
from mfas.service.offers import Offer, ids_of, step_of
from mfas.service.quotas import Quotas
from mfas.service.shadow import Shadow
from mfas.service.signing import Secret
from mfas.service.states import SOURCE, NotAllowedError, Phase, Policy, Site, why_not_learn
from mfas.service.store import Store
from mfas.service.store.schema import utc_text
from mfas.service.store.types import NewState
from mfas.service.verdicts import CanaryChange, Outcome, Verdict, judge

NOT_LEADING = "another process leads here"


class SiteLearner:
    """Learns at one site. `offer` is for any thread and returns at once; `tick` does the work, one caller at a time.

    Raises `ConfigError` for an unknown method or settings.
    """

    def __init__(
        self,
        store: Store,
        secret: Secret,
        site: str,
        source: SourceModel,
        config: LearningConfig,
        canaries: Sequence[Canary] = (),
    ) -> None:
        self._store, self._secret, self._site = store, secret, site
        self._card, self._base, self._config, self._canaries = source.card, source.id, config, tuple(canaries)
        self._shadow = Shadow(config.method, deepcopy(source.model), source.card, config.settings, config.seed)
        self._quotas = Quotas(store, site, config.quotas)
        self._lease = lease(store.database, site)
        self._queue: deque[tuple[float, Offer]] = deque()
        self._lock = Lock()
        self._resting: str | None = NOT_LEADING
        self._leading = False
        self._counts: Counter[str] = Counter()
        self._parent, self._generation, self._waiting = SOURCE, -1, ""
        self._updates, self._steps = 0, (0, 0)
        self._before: list[Scores] = []
        self._after: list[Scores] = []

    def offer(self, offer: Offer) -> str | None:
        """Put a capture that was answered in the queue; gives the reason when it is not taken. Never waits."""
        reason = self._store.switch.thrown() or self._resting
        with self._lock:
            if reason is None and len(self._queue) >= self._config.queue:
                reason = "the queue is full"
            if reason is None:
                self._queue.append((monotonic(), offer))
            self._counts["queued" if reason is None else "not queued"] += 1
        return reason

    def status(self) -> LearnerStatus:
        """What the learner does now."""
        with self._lock:
            return LearnerStatus(
                site=self._site,
                leading=self._leading,
                resting=self._resting,
                queued=len(self._queue),
                updates=self._shadow.updates,
                since_candidate=self._updates,
                drift=self._shadow.drift,
                canaries=tuple(canary.name for canary in self._canaries),
                counts=dict(self._counts),
            )

    def tick(self) -> bool:
        """One round: follow the site, learn from what waits, perhaps make a candidate. False if nothing waited."""
        site = self._store.site(self._site)
        if site.policy is Policy.OFF or not self._lease.hold():
            self.stand_down(NOT_LEADING if site.policy is not Policy.OFF else why_not_learn(site))
            return False
        site = self._follow(self._obey_switch(site))
        self._resting = why_not_learn(site)
        if self._resting is not None:
            self._drop()
            return False
        offers = self._due()
        if offers:
            self._learn(site, offers)
        return bool(offers)

    def stand_down(self, reason: str | None = NOT_LEADING) -> None:
        """Give leadership back and forget what waits."""
        self._resting = reason
        self._leading = False
        self._lease.release()
        self._drop()

    # -- following the site ------------------------------------------------------------------------------------------

    def _obey_switch(self, site: Site) -> Site:
        """A switch that is thrown outside the database is written into it, so that it outlives this process."""
        thrown = self._store.switch.thrown()
        return site if thrown is None or site.frozen else self._store.freeze(site.name, by=thrown)

    def _follow(self, site: Site) -> Site:
        """Bring the shadow to where the site is: others may have approved, rejected, rolled back, deleted."""
        if site.phase is Phase.ROLLED_BACK and site.decisions >= site.cool_down_until:
            site = self._store.rest_over(site.name)
        if not self._leading:
            site = self._store.adopt_base(site.name, self._base)
            self._leading = True
            return self._resume(site)
        if site.generation != self._generation or site.state not in (self._parent, self._waiting):
            return self._resume(site)
        if self._waiting and site.state == self._waiting:
            self._settle(site.state, self._after)
        elif self._waiting and site.candidate != self._waiting:
            self._retreat()
        return site

    def _resume(self, site: Site) -> Site:
        """Start afresh from the state in force."""
        self._drop()
        while site.state != SOURCE:
            try:
                delta = checked_delta(self._store, self._secret, site, site.state)
            except ForgedStateError as reason:
                site = self._store.alarm(site.name, str(reason), bad_state=site.state)
                continue
            state = self._store.state(site.state)
            self._shadow.put(delta, state.updates, state.drift)
            break
        else:
            self._shadow.put(None)
        self._generation = site.generation
        self._settle(site.state, [canary.scores(self._shadow.predict) for canary in self._canaries])
        return site

    def _settle(self, state: str, scores: list[Scores]) -> None:
        """The shadow stands where ``state`` is in force."""
        self._shadow.keep()
        self._parent, self._before = state, scores
        self._waiting, self._updates, self._steps = "", 0, (0, 0)

    def _retreat(self) -> None:
        """What was learnt since the state in force was put there is forgotten."""
        self._shadow.back()
        self._waiting, self._updates, self._steps = "", 0, (0, 0)

    # -- learning ----------------------------------------------------------------------------------------------------

    def _due(self) -> list[Offer]:
        """A batch, or less once the first has waited long enough."""
        with self._lock:
            size, queue = self._config.batch, self._queue
            if not queue or (len(queue) < size and monotonic() - queue[0][0] < self._config.wait_seconds):
                return []
            return [queue.popleft()[1] for _ in range(min(size, len(queue)))]

    def _drop(self) -> None:
        with self._lock:
            self._counts["dropped"] += len(self._queue)
            self._queue.clear()

    def _learn(self, site: Site, offers: list[Offer]) -> None:
        admitted, refused = self._quotas.admit(offers)
        self._counts.update(refused)
        if not admitted:
            return
        batch = collate([offer.planes for offer in admitted], ids_of(admitted), self._card.preprocess)
        report = self._shadow.step(batch)
        if not self._shadow.finite():
            self._retreat()
            self._store.alarm(site.name, "the shadow's weights are no longer finite")
            return
        steps = [step_of(offer, report, self._parent, self._base) for offer in admitted]
        try:
            seqs = self._store.record_steps(site.name, steps, self._generation)
        except NotAllowedError:
            self._generation = -1  # the next round starts afresh
            return
        self._counts["learnt from"] += sum(step.accepted for step in steps)
        self._steps = (self._steps[0] or seqs[0], seqs[-1])
        self._updates += report.updated
        if self._updates >= self._config.updates_per_candidate:
            self._candidate(site)

    def _candidate(self, site: Site) -> None:
        after = [canary.scores(self._shadow.predict) for canary in self._canaries]
        changes = tuple(c.change(b, a) for c, b, a in zip(self._canaries, self._before, after, strict=True))
        state = self._new_state()
        try:
            site = self._store.submit(state, changes, self._verdict(site, changes), self._generation)
        except NotAllowedError:
            self._counts["candidates that came too late"] += 1
            self._retreat()
            return
        self._counts["candidates"] += 1
        if site.state == state.id:
            self._settle(state.id, after)
        elif site.candidate == state.id:
            self._waiting, self._after = state.id, after
        else:
            self._retreat()

    def _new_state(self) -> NewState:
        method, parent = self._config.method, self._parent
        made = utc_text(self._store.clock())  # so that no two states of the world have one hash
        about = {"site": self._site, "base": self._base, "parent": parent, "method": method, "made": made}
        state_id, delta = self._shadow.weights(about)
        signature = self._secret.sign(state_id, self._site, self._base, parent)
        lineage = {"site": self._site, "parent": parent, "base": self._base, "method": method}
        first, last = self._steps
        facts = {"updates": self._shadow.updates, "drift": self._shadow.drift, "first_step": first, "last_step": last}
        return NewState(id=state_id, signature=signature, delta=delta, **lineage, **facts)  # type: ignore[arg-type]

    def _verdict(self, site: Site, changes: tuple[CanaryChange, ...]) -> Verdict:
        automatic = site.policy in (Policy.AUTO, Policy.OBSERVE)
        verdict = judge(changes, self._shadow.drift, self._store.bounds, automatic=automatic)
        if site.policy is not Policy.OBSERVE or verdict.outcome is Outcome.ALARM:
            return verdict
        words = f"the site only observes; with 'auto' the verdict were '{verdict.outcome}'"
        return Verdict(Outcome.REJECT, (words, *verdict.reasons))
