"""One suite over every registered adaptation method, and over guarded ones: the promises of `Adapter`."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mfas.adaptation import registry
from mfas.adaptation.contract import Adapter, Need, StepReport
from mfas.adaptation.live import drift_bound
from mfas.adaptation.mfas_danet import MfasDanetAdapter
from mfas.adaptation.saving import load_state, save_state
from mfas.adaptation.surface import frozen_names
from mfas.core import MODALITIES, Batch, CaptureIds
from mfas.errors import ConfigError, InputError, StateError
from mfas.models.contract import FasModel
from toys import Micro, batch, card, every_pattern, micro_batch, tiny_model, toy_canary, trained

GUARDED = ("mfas_danet+anchor", "mfas_danet+canary", "mfas_danet+queries")
CANARY: dict[str, Any] = {"manifest": "canary.csv"}
GUARD_SETTINGS: dict[str, dict[str, Any]] = {
    "canary": CANARY,
    "queries": {"window": 2, "calibrate": 2, "slack": 1e6},
}
"""Guards that need settings, or that would wait for longer than a test."""
QUICK: dict[str, Any] = {
    "update_every": 1,
    "min_per_class": 1,
    "batch_per_class": 1,
    "capacity": 1,
    "per_presentation": 10**6,
    "per_subject": 10**6,
}
"""`mfas_danet` makes an update on every pair of `micro_batch`."""
NOTHING_PASSES: dict[str, Any] = {
    "gate": {"limits": "fixed", "max_entropy_fraction": 1e-9, "seen_by_two": None, "min_vote": 0.999999}
}


def needs(name: str) -> frozenset[Need]:
    return registry.method_class(name.split("+")[0]).needs


@pytest.fixture(scope="module")
def hesitant() -> dict[str, torch.Tensor]:
    """A source model that is unsure of the toy classes."""
    return {k: v.clone() for k, v in trained(steps=4).state_dict().items()}


def norms(name: str) -> list[str]:
    """The models around which a method is tried: BatchNorm where it needs that, or where that makes it another."""
    if "batch_norm" in needs(name):
        return ["batch"]
    on_batch_norm = registry.create(name, tiny_model(norm="batch"), card())
    return ["group"] if on_batch_norm.batch_independent else ["group", "batch"]


CASES = [*((name, norm) for name in registry.names() for norm in norms(name)), *((name, "group") for name in GUARDED)]


@pytest.fixture(params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    name, norm = request.param
    return str(name), str(norm)


@pytest.fixture
def name(case: tuple[str, str]) -> str:
    return case[0]


@pytest.fixture
def source(case: tuple[str, str]) -> dict[str, torch.Tensor]:
    return trained_state(case[1])


@cache
def trained_state(norm: str) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in trained(norm=norm).state_dict().items()}


def wrap(name: str, model: FasModel, own: dict[str, Any] | None = None, seed: int = 0) -> Adapter:
    """``model`` in ``name``; ``own`` are settings of the method in it."""
    method, *guards = name.split("+")
    settings = own or {}
    if guards:
        settings = {method: settings, **{guard: GUARD_SETTINGS[guard] for guard in guards if guard in GUARD_SETTINGS}}
    return registry.create(name, model, card(), settings, seed, toy_canary)


def make(name: str, source: dict[str, torch.Tensor], own: dict[str, Any] | None = None) -> Adapter:
    model: FasModel = tiny_model(norm="batch" if any("running_mean" in k for k in source) else "group")
    model.load_state_dict(source)
    return wrap(name, model, own)


def stream(count: int, size: int = 10, first: int = 0) -> list[Batch]:
    """Batches of the toy classes; every other one of captures between them, of which a trained model is less sure."""
    between = torch.full((size,), 0.5)
    return [
        batch(size, seed=i, target=between if i % 2 else None, shift=0.3, first=i * size)
        for i in range(first, first + count)
    ]


def snapshot(model: FasModel) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def everything(adapter: Adapter) -> tuple[dict[str, torch.Tensor], Any]:
    """All that is mutable: every tensor of the model and of the state, and the facts."""
    state = adapter.state()
    weights = {f"model.{k}": v for k, v in snapshot(adapter.model).items()}
    return weights | dict(state.tensors), state.facts


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


def test_only_the_declared_surface_moves(
    name: str, source: dict[str, torch.Tensor], hesitant: dict[str, torch.Tensor]
) -> None:
    adapter = make(name, source)
    if adapter.rests_when_sure:
        source = hesitant
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


@pytest.mark.parametrize("name", [*registry.names(), *GUARDED])
@pytest.mark.parametrize("kind", ["skipped", "made"])
def test_reset_is_exact_however_long_the_stream(name: str, kind: str) -> None:
    """10,000 steps without an update and 10,000 updates for `mfas_danet` (on stored evidence), 200 for the others."""
    model = tiny_model(norm=norms(name)[0]) if needs(name) else Micro()
    adapter = wrap(name, model, QUICK if name.startswith("mfas_danet") else None)
    before, facts = everything(adapter)
    some = micro_batch(0.0) if kind == "skipped" else micro_batch(1.0, -1.0)
    rounds = 10_000 if name == "mfas_danet" and kind == "skipped" else 200
    updates = sum(adapter.step(some)[1].updated for _ in range(rounds))
    if isinstance(adapter, MfasDanetAdapter) and kind == "made":
        updates += sum(adapter._update()[2] is None for _ in range(9_800))
        assert updates == 10_000
    if name.startswith("mfas_danet"):
        assert updates == 0 if kind == "skipped" else updates
    adapter.reset()
    after, facts_after = everything(adapter)
    assert same(before, after)
    assert facts == facts_after


@pytest.mark.parametrize("name", ["source", "mfas_danet", *GUARDED, "mfas_danet+anchor+canary+recovery"])
def test_a_gate_that_accepts_nothing_leaves_the_bare_model(name: str) -> None:
    source, bare = trained_state("group"), tiny_model()
    bare.load_state_dict(source)
    adapter = make(name, source, NOTHING_PASSES if name != "source" else None)
    for some in stream(20):
        prediction, report = adapter.step(some)
        assert not report.updated
        assert torch.equal(prediction.score, bare.predict(some).score)
    assert same(snapshot(adapter.model), source)


@pytest.mark.parametrize(
    ("name", "anchor", "radius", "largest"),
    [
        ("mfas_danet", 0.05, None, drift_bound(2e-2, 0.05, None)),
        ("mfas_danet", 0.0, 0.05, 0.05),
        ("mfas_danet+anchor", 0.0, None, 0.1),
    ],
)
def test_drift_stays_in_its_bound_under_maximal_gradients(
    name: str, anchor: float, radius: float | None, largest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss that asks for the same direction for ever, as hard as it can; the bound is also nearly reached."""

    def one_way(self: MfasDanetAdapter, *_: object) -> Tensor:
        return 1e6 * torch.stack([value.sum() for value in self._live.values.values()]).sum()

    monkeypatch.setattr(MfasDanetAdapter, "_loss", one_way)
    steady = {"loss_jump": 0.0, "flip_rate": 0.0, "mean_uncertainty": 0.0}
    steps = {"learning_rate": 2e-2}
    adapter = wrap(name, Micro(), {**QUICK, **steps, "anchor": anchor, "radius": radius, "weight": steady})
    drifts = [adapter.step(micro_batch(1.0, -1.0))[1].drift for _ in range(150)]
    assert max(drifts) <= largest * (1 + 1e-5)
    assert drifts[-1] > 0.95 * largest


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
    tensors, facts = everything(adapter)
    for modality in MODALITIES:
        for value in ("nan", "inf", "-inf"):
            bad = batch(4)
            bad.images[modality][2, 0, 5, 7] = float(value)
            with pytest.raises(InputError, match=f"finite {modality}"):
                adapter.step(bad)
    after, facts_after = everything(adapter)
    assert same(tensors, after)
    assert facts == facts_after


def test_labels_cannot_reach_an_adapter() -> None:
    seen = {f.name for f in fields(Batch)} | {f.name for f in fields(CaptureIds)}
    assert not seen & {"label", "labels", "species", "target", "targets", "truth"}
    assert {f.name for f in fields(CaptureIds)} == {"capture_id", "presentation_id", "subject", "session", "timestamp"}
    assert "pseudo_labels" in {f.name for f in fields(StepReport)}


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("no_such_method", {}, f"{', '.join(registry.names())}, got 'no_such_method'"),
        ("bn_stats", {}, "expected a model with BatchNorm, got 'mfas_danet' without"),
        ("anchor", {}, "expected a method out of"),
        ("mfas_danet+no_such_guard", {}, "anchor, canary, queries, recovery, got 'no_such_guard'"),
        ("mfas_danet+anchor+anchor", {}, "'anchor' twice"),
        ("mfas_danet", {"no_such_key": 1}, "no_such_key"),
        ("mfas_danet+anchor", {"radius": 1.0}, "mfas_danet, anchor, got 'radius'"),
        ("mfas_danet+anchor", {"anchor": 0.5}, "mapping of keys for 'anchor'"),
        ("mfas_danet+anchor", {"anchor": {"pull": 1.5}}, "settings of anchor: 'pull'"),
        ("mfas_danet+anchor", {"anchor": {"pull": 0, "radius": None}}, "pull above 0 or a radius"),
        ("mfas_danet+anchor", {"mfas_danet": {"gate": {"min_vote": 1.5}}}, "gate.min_vote"),
        ("mfas_danet+anchor", {"mfas_danet": {"capacity": 4}}, "capacity of at least"),
        ("mfas_danet+anchor", {"mfas_danet": {"extra_layers": ["no_such_layer"]}}, "no_such_layer"),
        ("mfas_danet+canary", {}, "value for 'manifest'"),
        ("mfas_danet+canary", {"canary": CANARY}, "way to read the labelled captures of canary.csv"),
    ],
)
def test_bad_configuration_is_refused_by_name(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        registry.create(name, tiny_model(), card(), settings)


@pytest.mark.parametrize("name", [name for name in registry.names() if needs(name)])
def test_a_model_without_what_a_method_needs_is_refused(name: str) -> None:
    """`Micro` has one LayerNorm, above the cut."""
    with pytest.raises(ConfigError, match=r"expected a model with|no normalisation layer below"):
        registry.create(name, Micro(), card())


@pytest.mark.parametrize("model", ["mmdg", "if_mmin"])
def test_what_a_model_keeps_frozen_is_on_no_surface(model: str) -> None:
    """A method that would move nothing else refuses the model."""
    still = frozen_names(tiny_model(model))
    assert still
    for name in (*registry.names(), *registry.offline_names()):
        make = registry.create_offline if registry.is_offline(name) else registry.create
        try:
            adapted = make(name, tiny_model(model), card(model)).adapted_parameters
        except ConfigError:
            continue
        assert not adapted & still, name


def test_who_is_said_to_start_as_the_source_does() -> None:
    some = batch(7, present=every_pattern())
    for name, norm in CASES:
        model = tiny_model(norm=norm)
        adapter = wrap(name, model)
        if adapter.starts_as_source:
            assert torch.equal(adapter.predict(some).score, tiny_model(norm=norm).predict(some).score), name


def test_batch_statistics_are_declared_by_the_instance_that_uses_them() -> None:
    """A method may be batch independent on one model and not on another; the model itself stays what it was."""
    some = batch(6)
    for name, norm in CASES:
        if "+" in name:
            continue
        adapter = registry.create(name, tiny_model(norm=norm), card())
        alone = torch.cat([adapter.predict(some.select(torch.tensor([row]))).score for row in range(len(some))])
        depends = float((alone - adapter.predict(some).score).abs().max()) > 1e-4
        assert depends == (not adapter.batch_independent), (name, norm)
        assert torch.equal(adapter.model.predict(some).score, tiny_model(norm=norm).predict(some).score)
