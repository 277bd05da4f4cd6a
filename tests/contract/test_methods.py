"""One suite over every registered adaptation method: the promises of `mfas.adaptation.contract.Adapter`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch

from mfas.adaptation import registry
from mfas.adaptation.contract import Adapter, StepReport
from mfas.adaptation.saving import load_state, save_state
from mfas.core import Batch, CaptureIds, Modality
from mfas.errors import ConfigError, InputError, StateError
from mfas.models.contract import FasModel
from toys import batch, card, every_pattern, tiny_model, trained


@pytest.fixture(scope="module")
def source() -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in trained().state_dict().items()}


@pytest.fixture(params=registry.names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(name: str, source: dict[str, torch.Tensor], seed: int = 0) -> Adapter:
    model: FasModel = tiny_model()
    model.load_state_dict(source)
    return registry.create(name, model, card(), {}, seed)


def stream(count: int, size: int = 10, first: int = 0) -> list[Batch]:
    return [batch(size, seed=first + i, shift=0.3, first=(first + i) * size) for i in range(count)]


def snapshot(model: FasModel) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_prediction_is_from_before_the_update(name: str, source: dict[str, torch.Tensor]) -> None:
    adapter = make(name, source)
    for some in stream(12):
        before = adapter.predict(some)
        stepped, _ = adapter.step(some)
        assert torch.allclose(before.score, stepped.score, atol=1e-6)


def test_predict_changes_nothing(name: str, source: dict[str, torch.Tensor]) -> None:
    adapter = make(name, source)
    for some in stream(6):
        adapter.step(some)
    weights, state = snapshot(adapter.model), adapter.state()
    for some in stream(6, first=50):
        adapter.predict(some)
    assert same(weights, snapshot(adapter.model))
    after = adapter.state()
    assert after.facts == state.facts
    assert same(dict(after.tensors), dict(state.tensors))


def test_only_the_declared_surface_moves(name: str, source: dict[str, torch.Tensor]) -> None:
    adapter = make(name, source)
    for some in stream(20):
        adapter.step(some)
    moved = {k for k, v in adapter.model.state_dict().items() if not torch.equal(v, source[k])}
    assert moved <= adapter.adapted_parameters
    if adapter.adapted_parameters:
        assert moved, "the stream of this test must teach something"
        assert set(adapter.delta()) == set(adapter.adapted_parameters)


def test_reset_is_exact_and_forgets_everything(name: str, source: dict[str, torch.Tensor]) -> None:
    adapter = make(name, source)
    fresh = [adapter.step(some)[0].score for some in stream(20)]
    adapter.reset()
    assert same(snapshot(adapter.model), source)
    again = [adapter.step(some)[0].score for some in stream(20)]
    assert all(torch.equal(a, b) for a, b in zip(fresh, again, strict=True))


def test_a_stream_can_be_stopped_and_resumed_exactly(
    name: str, source: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    one = make(name, source)
    whole = [one.step(some)[0].score for some in stream(24)]
    two = make(name, source)
    for some in stream(11):
        two.step(some)
    save_state(two, tmp_path, {"site": "here"})
    three = make(name, source)
    load_state(three, tmp_path, {"site": "here"})
    rest = [three.step(some)[0].score for some in stream(24)[11:]]
    assert all(torch.equal(a, b) for a, b in zip(whole[11:], rest, strict=True))
    assert same(snapshot(one.model), snapshot(three.model))
    with pytest.raises(StateError, match="site"):
        load_state(three, tmp_path, {"site": "elsewhere"})


def test_score_does_not_depend_on_companions(name: str, source: dict[str, torch.Tensor]) -> None:
    adapter = make(name, source)
    if not adapter.batch_independent:
        pytest.skip("declared as built on batch statistics")
    for some in stream(12):
        adapter.step(some)
    whole = batch(7, present=every_pattern())
    together = adapter.predict(whole).score
    for row in range(7):
        assert float((adapter.predict(whole.select(torch.tensor([row]))).score - together[row]).abs()) < 1e-5


@pytest.mark.parametrize("size", [1, 3])
def test_any_batch_size_and_any_pattern(name: str, size: int, source: dict[str, torch.Tensor]) -> None:
    adapter = make(name, source)
    for row in range(7):
        some = batch(size, seed=row, present=every_pattern()[row].expand(size, 3))
        prediction, report = adapter.step(some)
        assert prediction.score.shape == (size,)
        assert report.seen == size


def test_no_update_has_a_reason_and_reports_add_up(name: str, source: dict[str, torch.Tensor]) -> None:
    adapter = make(name, source)
    for some in stream(12):
        _, report = adapter.step(some)
        assert report.updated == (report.skipped_reason is None)
        assert report.accepted == report.accepted_bona_fide + report.accepted_attack == len(report.accepted_ids)
        assert report.updated == (report.loss is not None)
        if report.loss_weight is not None:
            assert 0 <= report.loss_weight <= 1


def test_bad_pixels_leave_the_state_alone(name: str, source: dict[str, torch.Tensor]) -> None:
    adapter = make(name, source)
    for some in stream(8):
        adapter.step(some)
    weights, facts = snapshot(adapter.model), adapter.state().facts
    bad = batch(4)
    bad.images[Modality.DEPTH][0, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="finite depth"):
        adapter.step(bad)
    assert same(weights, snapshot(adapter.model))
    assert adapter.state().facts == facts


def test_labels_cannot_reach_an_adapter() -> None:
    seen = {f.name for f in fields(Batch)} | {f.name for f in fields(CaptureIds)}
    assert not seen & {"label", "labels", "species", "target", "targets", "truth"}
    assert {f.name for f in fields(CaptureIds)} == {"capture_id", "presentation_id", "subject", "session", "timestamp"}
    assert "pseudo_labels" in {f.name for f in fields(StepReport)}


def test_unknown_names_are_refused(source: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ConfigError, match="no_such_method"):
        make("no_such_method", source)
    with pytest.raises(ConfigError, match="no_such_key"):
        registry.create("mfas_danet", tiny_model(), card(), {"no_such_key": 1})
