"""What adapts sites, behind a door that stays shut, and costs no torch, until a first site needs it."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from mfas._extras import needs
from mfas.card import WEIGHTS_FILE
from mfas.errors import ModelDirError
from mfas.service.deciding import Decision, Outcome
from mfas.service.inference import OnnxScorer, Scorer
from mfas.service.learning_config import LearningConfig
from mfas.service.offers import Offer
from mfas.service.signing import Secret
from mfas.service.states import SOURCE, Policy, Site
from mfas.service.store import Store, StoredDecision

if TYPE_CHECKING:
    from mfas.service.in_force import InForce
    from mfas.service.learners import Learners

_LOG = logging.getLogger("mfas.service")


class Adaptation:
    """Which model serves a site, and where captures go that may teach it.

    Sites that serve the source model and do not learn never touch anything but ``source``. Safe between threads.
    """

    def __init__(
        self, store: Store, secret: Secret, source: OnnxScorer, directory: Path, config: LearningConfig, threads: int
    ) -> None:
        self._store, self._secret, self._source = store, secret, source
        self._directory, self._config, self._threads = directory, config, max(1, threads)
        self._lock = Lock()
        self._parts: tuple[InForce[OnnxScorer], Learners] | None = None
        self._stopped = False

    def start(self) -> None:
        """Open the door now if a site needs it; raises what `open` raises."""
        if any(site.policy is not Policy.OFF or site.state != SOURCE for site in self._store.sites()):
            self.open()

    def open(self) -> tuple[InForce[OnnxScorer], Learners]:
        """The parts that need torch, made once; learning begins in the background.

        Raises `MissingExtraError` without torch, `ModelDirError` for a model directory without weights, and
        `InputError` for a method or a canary that cannot be used.
        """
        with self._lock:
            if self._parts is None:
                self._parts = self._make()
            return self._parts

    def _make(self) -> tuple[InForce[OnnxScorer], Learners]:
        with needs("adaptation"):
            import torch

            from mfas.service.in_force import InForce, read_source
            from mfas.service.learners import Learners
        if WEIGHTS_FILE not in self._source.card.files:
            raise ModelDirError(f"adaptation needs the weights of the model ({WEIGHTS_FILE}), its card lists none")
        torch.set_num_threads(self._threads)
        weights = read_source(self._directory)
        in_force = InForce(self._store, self._secret, self._source, self._source.model_id, lambda: weights)
        learners = Learners(self._store, self._secret, self._config, lambda: weights)
        if not self._stopped:
            learners.start()
            _LOG.info("adaptation is on at sites whose policy says so")
        return in_force, learners

    def scorer(self, site: Site) -> Scorer:
        """The model in force at ``site``."""
        return self._source if site.state == SOURCE else self.open()[0].scorer(site.name)

    def offer(self, site: Site, decision: Decision, stored: StoredDecision) -> None:
        """Put an answered capture where the site's shadow may learn from it. Never waits, and nobody is told."""
        if decision.outcome is not Outcome.SCORED or decision.planes is None:
            return
        identity = {"subject": stored.subject, "device": stored.device, "session": stored.session}
        offer = Offer(decision.planes, stored.request_id, str(stored.decision), **identity)
        self.open()[1].offer(site.name, offer)

    def stop(self) -> None:
        """Let the round that runs end, and give leadership back."""
        with self._lock:
            self._stopped = True
            if self._parts is not None:
                self._parts[1].stop()
