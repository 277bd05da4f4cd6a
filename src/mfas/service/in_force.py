"""The model in force at each site: the source model, or a copy with a promoted state, hash and signature checked."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from mfas._files import sha256
from mfas.card import CARD_FILE, Card
from mfas.core import CaptureIds, Prediction
from mfas.data.dataset import collate
from mfas.data.preprocess import Planes
from mfas.errors import MfasError
from mfas.models.contract import FasModel
from mfas.models.families import FamilyHeads, load_families, predict_with_families
from mfas.models.store import load_model
from mfas.service.signing import Secret
from mfas.service.states import SOURCE, Site
from mfas.service.store import Store
from mfas.service.store.types import State, Status

SourceT = TypeVar("SourceT")
_MODELS_HELD = 16


class ForgedStateError(MfasError):
    """A state that must not be served: its hash, its signature or its standing is wrong."""


class TorchScorer:
    """A promoted state on the source model. Thresholds stay the source's."""

    def __init__(
        self, model: FasModel, card: Card, model_id: str, state_id: str, heads: FamilyHeads | None = None
    ) -> None:
        self._model, self._heads = model, heads
        self.card = card
        self.model_id = model_id
        self.state_id = state_id

    def predict(self, planes: Sequence[Planes]) -> Prediction:
        """One network batch; safe to be called by many threads at one time."""
        batch = collate(planes, CaptureIds.anonymous(len(planes)), self.card.preprocess)
        return predict_with_families(self._model, self._heads, batch)


@dataclass(frozen=True, slots=True)
class SourceModel:
    """What every state stands on. ``id``: SHA-256 of the card. ``model`` is never changed, only copied.

    ``heads`` are its attack-family heads; they read the features of adapted states too, and never learn.
    """

    model: FasModel
    card: Card
    id: str
    heads: FamilyHeads | None = None


def read_source(directory: Path) -> SourceModel:
    """The source model of a directory; `ModelDirError` when it holds no weights (an exported graph cannot learn)."""
    model, card = load_model(directory)
    heads = load_families(model, card, directory)
    return SourceModel(model.eval().requires_grad_(False), card, sha256(directory / CARD_FILE), heads)


class InForce(Generic[SourceT]):
    """Answers which model serves a site, anew for each capture: what was promoted or rolled back a moment ago counts.

    ``serving`` answers wherever nothing was promoted; ``model_id`` is the SHA-256 of its card, and ``read`` gives its
    weights, asked for once, at the first state to be served. A state that does not verify is never served:
    the site goes to alarm, and what stood before it is in force again. A state of another source model than this
    process has is not served either (nodes in the middle of an upgrade).
    """

    def __init__(
        self, store: Store, secret: Secret, serving: SourceT, model_id: str, read: Callable[[], SourceModel]
    ) -> None:
        self._store = store
        self._secret = secret
        self._serving = serving
        self.model_id = model_id
        self._read = read
        self._source: SourceModel | None = None
        self._held: OrderedDict[str, TorchScorer] = OrderedDict()
        self._lock = Lock()

    def scorer(self, site: str) -> SourceT | TorchScorer:
        """The model in force at ``site``; `UnknownSiteError` where there is no such site."""
        found = self._store.site(site)
        while found.state != SOURCE and found.base == self.model_id:
            try:
                return self._adapted(found)
            except ForgedStateError as reason:
                found = self._store.alarm(site, str(reason), bad_state=found.state)
        return self._serving

    def _adapted(self, site: Site) -> TorchScorer:
        with self._lock:
            held = self._held.get(site.state)
            if held is None:
                delta = checked_delta(self._store, self._secret, site, site.state)
                if self._source is None:
                    self._source = self._read()
                source = self._source
                model = _with(source.model, delta)
                held = TorchScorer(model, source.card, self.model_id, site.state, source.heads)
                self._held[site.state] = held
                if len(self._held) > _MODELS_HELD:
                    self._held.popitem(last=False)
            self._held.move_to_end(site.state)
            return held


def _with(source: FasModel, delta: dict[str, Tensor]) -> FasModel:
    """The source model with the tensors of ``delta``; the others are the source's own, so that a state costs little."""
    kept = (*source.named_parameters(), *source.named_buffers())
    model = deepcopy(source, {id(tensor): tensor for name, tensor in kept if name not in delta})
    own = model.state_dict()
    with torch.no_grad():
        for name, value in delta.items():
            if name not in own or own[name].shape != value.shape:
                raise ForgedStateError(f"the state's tensor '{name}' does not fit the source model")
            own[name].copy_(value)
    return model


def checked_delta(store: Store, secret: Secret, site: Site, state_id: str) -> dict[str, Tensor]:
    """The weights of a promoted state of ``site``, hash and signature checked. Raises `ForgedStateError`."""
    state = store.state(state_id)
    raw = store.delta(state_id)
    _check(state, raw, secret, site)
    try:
        return load(raw)
    except SafetensorError as reason:
        raise ForgedStateError(f"the state {state_id[:12]} is not a safetensors file: {reason}") from None


def _check(state: State, raw: bytes, secret: Secret, site: Site) -> None:
    short = state.id[:12]
    if hashlib.sha256(raw).hexdigest() != state.id:
        raise ForgedStateError(f"the bytes of state {short} are not those of its hash")
    if not secret.signed(state.signature, state.id, state.site, state.base, state.parent):
        raise ForgedStateError(f"the signature of state {short} is not ours")
    if (state.site, state.base) != (site.name, site.base):
        raise ForgedStateError(f"the state {short} belongs to another site or source model")
    if state.status is not Status.PROMOTED:
        raise ForgedStateError(f"the state {short} was never promoted, or was rolled back: it is {state.status}")
