"""All learners of a process: one thread that gives each site's learner its turn."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread

from sqlalchemy.exc import DBAPIError

from mfas.service.canary import Canary, read_canary
from mfas.service.in_force import SourceModel
from mfas.service.learning import SiteLearner
from mfas.service.learning_config import LearnerStatus, LearningConfig
from mfas.service.offers import Offer
from mfas.service.signing import Secret
from mfas.service.states import Policy
from mfas.service.store import Store

_LOG = logging.getLogger("mfas.service")
_REST_SECONDS = 0.2


class Learners:
    """A learner for every site whose policy is not ``off``, also for those that are made or switched on later.

    ``read`` gives the source model; it is called when a first site learns, or at once where canaries are configured,
    so that a canary that cannot be read is refused at the start (`InputError`).
    """

    def __init__(self, store: Store, secret: Secret, config: LearningConfig, read: Callable[[], SourceModel]) -> None:
        self._store, self._secret, self._config, self._read = store, secret, config, read
        self._loaded: SourceModel | None = None
        self._learners: dict[str, SiteLearner] = {}
        self._canaries: dict[str, Canary] = {}
        self._stop = Event()
        self._thread: Thread | None = None
        if config.source_canary is not None:
            self._canaries[""] = read_canary("source", config.source_canary, self._source().card)
        for site, place in config.site_canaries.items():
            self._canaries[site] = read_canary("site", place, self._source().card)

    def offer(self, site: str, offer: Offer) -> str | None:
        """See `SiteLearner.offer`; a site that does not learn takes nothing."""
        learner = self._learners.get(site)
        return "adaptation is off" if learner is None else learner.offer(offer)

    def learner(self, site: str) -> SiteLearner | None:
        """The learner of a site; None while its policy is, and was, ``off``."""
        return self._learners.get(site)

    def status(self) -> tuple[LearnerStatus, ...]:
        """Of every learner, by site."""
        return tuple(learner.status() for _, learner in sorted(self._learners.items()))

    def start(self) -> None:
        """Begin to learn in the background."""
        self._thread = Thread(target=self._run, name="mfas-learning", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the round that runs end, and give every leadership back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for learner in self._learners.values():
            learner.stand_down()

    def round(self) -> bool:
        """One turn for every site; False if none of them had anything to do."""
        busy = False
        for site in self._store.sites():
            if site.policy is Policy.OFF and site.name not in self._learners:
                continue
            try:
                busy |= self._of(site.name).tick()
            except DBAPIError:
                raise
            except Exception as reason:  # whatever a method does wrong must not end the learning of other sites
                _LOG.exception("learning at site %s failed", site.name)
                if site.name in self._learners:
                    self._learners[site.name].stand_down()
                self._store.alarm(site.name, f"learning failed: {type(reason).__name__}")
        return busy

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                busy = self.round()
            except DBAPIError as reason:
                _LOG.warning("learning waits for the database: %s", reason.orig)
                busy = False
            if not busy:
                self._stop.wait(_REST_SECONDS)

    def _of(self, site: str) -> SiteLearner:
        if site not in self._learners:
            canaries = [self._canaries[name] for name in ("", site) if name in self._canaries]
            learner = SiteLearner(self._store, self._secret, site, self._source(), self._config, canaries)
            self._learners[site] = learner
        return self._learners[site]

    def _source(self) -> SourceModel:
        if self._loaded is None:
            self._loaded = self._read()
        return self._loaded
