"""One suite over every registered offline method: the promises of `OfflineAdapter`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mfas.adaptation import registry
from mfas.adaptation.offline import FitReport, LabelledBatch, OfflineAdapter
from mfas.adaptation.saving import load_state, save_state
from mfas.core import Batch
from mfas.errors import ConfigError, InputError, StateError
from toys import batch, card, every_pattern, target_of, tiny_model, trained

FEW: dict[str, Any] = {"passes": 2, "batch_size": 16}
WITHOUT_DEPTH = torch.tensor([[True, False, True]])


@pytest.fixture(scope="module")
def source() -> dict[str, Tensor]:
    return {k: v.clone() for k, v in trained(steps=20).state_dict().items()}


@pytest.fixture(params=registry.offline_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(name: str, source: dict[str, Tensor], **own: Any) -> OfflineAdapter:
    model = tiny_model()
    model.load_state_dict(source)
    return registry.create_offline(name, model, card(), {**FEW, **own})


def target(count: int = 4) -> list[Batch]:
    """Batches of ten; depth is missing in every second one."""
    patterns = (None, WITHOUT_DEPTH.expand(10, 3))
    return [batch(10, seed=i, present=patterns[i % 2], shift=0.3, first=10 * i) for i in range(count)]


def known() -> list[LabelledBatch]:
    return [LabelledBatch(batch(12, seed=500 + i), target_of(12) > 0) for i in range(2)]


def fit(adapter: OfflineAdapter, batches: Sequence[Batch] | None = None) -> FitReport:
    return adapter.fit(batches or target(), known() if adapter.needs_source else None)


def weights(adapter: OfflineAdapter) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in adapter.model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_fit_moves_the_declared_surface_and_nothing_else(name: str, source: dict[str, Tensor]) -> None:
    adapter = make(name, source)
    report = fit(adapter)
    moved = {k for k, v in weights(adapter).items() if not torch.equal(v, source[k])}
    assert moved
    assert moved <= adapter.adapted_parameters == set(adapter.delta())
    assert (report.captures, report.source_captures) == (40, 24 if adapter.needs_source else 0)
    assert report.steps > 0 == report.skipped
    assert len(report.losses) == FEW["passes"]
    assert report.drift > 0
    assert adapter.transductive
    assert adapter.fitted


def test_reset_is_exact_and_a_second_fit_is_the_first(name: str, source: dict[str, Tensor]) -> None:
    """Also without a reset in between: a fit starts at the source. Global randomness plays no part."""
    adapter, fresh = make(name, source), make(name, source).state()
    scores, states = [], []
    for _ in range(2):
        torch.rand(7)
        fit(adapter)
        scores.append(adapter.predict(batch(7, present=every_pattern())).score)
        states.append(dict(adapter.state().tensors))
    assert torch.equal(*scores)
    assert same(*states)
    adapter.reset()
    assert same(weights(adapter), source)
    assert same(dict(adapter.state().tensors), dict(fresh.tensors))
    assert adapter.state().facts == fresh.facts
    assert not adapter.fitted


def test_predict_changes_nothing_and_needs_no_companions(name: str, source: dict[str, Tensor]) -> None:
    adapter = make(name, source)
    fit(adapter)
    before, state = weights(adapter), adapter.state()
    whole = batch(7, present=every_pattern())
    together = adapter.predict(whole)
    assert torch.equal(together.present, whole.present)
    assert torch.equal(together.modality_scores.isnan(), ~whole.present)
    for row in range(7):
        alone = adapter.predict(whole.select(torch.tensor([row]))).score
        assert float((alone - together.score[row]).abs()) < 1e-5
    assert same(before, weights(adapter))
    assert same(dict(adapter.state().tensors), dict(state.tensors))
    assert adapter.state().facts == state.facts


def test_a_state_survives_being_saved(name: str, source: dict[str, Tensor], tmp_path: Path) -> None:
    one = make(name, source)
    fit(one)
    save_state(one, tmp_path, {"site": "here"})
    two = make(name, source)
    load_state(two, tmp_path, {"site": "here"})
    some = batch(7, present=every_pattern())
    assert torch.equal(one.predict(some).score, two.predict(some).score)
    assert two.fitted
    other = make(name, source, passes=3)
    with pytest.raises(StateError, match="settings"):
        load_state(other, tmp_path, {"site": "here"})


def test_no_label_of_the_target_can_arrive(name: str, source: dict[str, Tensor]) -> None:
    adapter = make(name, source)
    with pytest.raises(InputError, match="without labels"):
        fit(adapter, known())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="got none"):
        adapter.fit([], known() if adapter.needs_source else None)
    wrong = None if adapter.needs_source else known()
    with pytest.raises(ConfigError, match=r"source captures|captures of the source"):
        adapter.fit(target(), wrong)
    assert same(weights(adapter), source)


def test_a_fit_that_fails_leaves_the_source(name: str, source: dict[str, Tensor]) -> None:
    adapter = make(name, source)
    fit(adapter)
    bad = target()
    bad[1].images[next(iter(bad[1].images))][2, 0, 5, 7] = float("nan")
    with pytest.raises(InputError, match="finite"):
        fit(adapter, bad)
    assert same(weights(adapter), source)
    assert not adapter.fitted


def test_it_is_no_stream_method(name: str) -> None:
    assert name not in registry.names()
    with pytest.raises(ConfigError, match=rf"learns from a stream, got '{name}'.*mfas benchmark"):
        registry.create(name, tiny_model(), card())
    with pytest.raises(ConfigError, match="without guards"):
        registry.create_offline(f"{name}+anchor", tiny_model(), card())
    with pytest.raises(ConfigError, match="no_such_key"):
        registry.create_offline(name, tiny_model(), card(), {"no_such_key": 1})


def test_unknown_names_are_refused() -> None:
    expected = f"offline method out of {', '.join(registry.offline_names())}, got 'tent'"
    with pytest.raises(ConfigError, match=re.escape(expected)):
        registry.create_offline("tent", tiny_model(), card())
