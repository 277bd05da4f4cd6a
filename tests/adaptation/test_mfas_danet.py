"""What MFAS-DANet promises beyond the contract every method keeps."""

from __future__ import annotations

import pytest
import torch

from mfas.adaptation import registry
from mfas.adaptation.contract import AdapterState
from mfas.adaptation.gate import Gate, GateSettings
from mfas.adaptation.hold import HoldSettings, ThresholdHold
from mfas.adaptation.memory import Memory
from mfas.adaptation.mfas_danet import MfasDanetAdapter
from mfas.adaptation.plain_evidence import Evidence, plain_verdict
from mfas.adaptation.weight import AdaptiveWeight, WeightSettings
from mfas.card import Card
from mfas.core import MISSING_PATTERNS, MODALITIES, Label
from mfas.errors import ConfigError, StateError
from mfas.models.contract import FasModel, ModelOutput
from mfas.models.smoothing import softened
from toys import Micro, batch, card, micro_batch, tiny_model, trained


@pytest.fixture(scope="module")
def source() -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in trained().state_dict().items()}


def make(source: dict[str, torch.Tensor], **settings: object) -> MfasDanetAdapter:
    model: FasModel = tiny_model()
    model.load_state_dict(source)
    adapter = registry.create("mfas_danet", model, card(), settings)
    assert isinstance(adapter, MfasDanetAdapter)
    return adapter


def output(logits: list[list[float]], present: list[list[bool]]) -> ModelOutput:
    seen = torch.tensor(present)
    blank = torch.zeros(len(logits))
    return ModelOutput(blank, torch.tensor(logits), {}, {}, seen, ~seen, torch.zeros(seen.shape))


@pytest.mark.parametrize(
    ("logits", "present", "accept", "bona_fide"),
    [
        ([5.0, 5.0, 5.0], [True, True, True], True, True),
        ([-5.0, -5.0, -5.0], [True, True, True], True, False),
        ([5.0, 5.0, -5.0], [True, True, True], False, True),  # one dissents
        ([5.0, 5.0, 0.0], [True, True, True], True, True),  # one undecided
        ([5.0, 0.0, 0.0], [True, True, True], False, True),  # one witness only
        ([5.0, 0.0, 5.0], [True, False, True], True, True),  # an absent modality neither votes nor blocks
        ([9.0, 0.0, 0.0], [True, False, False], False, True),  # a single modality is no evidence
        ([1.0, 1.0, 1.0], [True, True, True], False, True),  # agreed but unsure
        ([-2.0, 5.0, -2.0], [True, True, True], True, False),  # a mask: seen by two, and depth finds a face
        ([-2.0, 5.0, -0.5], [True, True, True], False, True),  # seen by one only
        ([-2.0, 5.0, -2.0], [True, True, False], False, True),  # an absent modality sees nothing
    ],
)
def test_gate_by_hand(logits: list[float], present: list[bool], accept: bool, bona_fide: bool) -> None:
    verdict = Gate(GateSettings(), card()).judge(output([logits], [present]))
    assert bool(verdict.accept[0]) is accept
    assert bool(verdict.bona_fide[0]) is bona_fide


def test_without_seen_by_two_dissent_blocks_attacks_too() -> None:
    mask = output([[-2.0, 5.0, -2.0]], [[True, True, True]])
    assert bool(Gate(GateSettings(), card()).judge(mask).accept[0])
    assert not bool(Gate(GateSettings(seen_by_two=None), card()).judge(mask).accept[0])


def test_dissent_alone_blocks_a_bona_fide_label() -> None:
    """However unsure the mean vote may be: a head at 0.12 dissents, one at 0.38 does not."""
    gate = Gate(GateSettings(limits="fixed", max_entropy_fraction=1.0), card())
    verdict = gate.judge(output([[5.0, 5.0, -2.0], [5.0, 5.0, -0.5]], [[True] * 3] * 2))
    assert verdict.accept.tolist() == [False, True]
    assert verdict.bona_fide.tolist() == [True, True]


def test_the_loss_weight_is_the_length_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam forgets a factor of the loss, so the weight must scale what it does."""
    own = {"update_every": 1, "min_per_class": 1, "batch_per_class": 1, "anchor": 0.0, "radius": None}
    drifts = []
    for weight in (1.0, 0.25):
        monkeypatch.setattr(AdaptiveWeight, "observe_loss", lambda *_, weight=weight: weight)
        report = registry.create("mfas_danet", Micro(), card(), own).step(micro_batch(1.0, -1.0))[1]
        assert report.updated
        assert report.loss_weight == weight
        drifts.append(report.drift)
    assert drifts[1] == pytest.approx(0.25 * drifts[0], rel=1e-3)


def test_gate_is_centred_on_each_heads_own_equal_error_point() -> None:
    shifted = card().model_copy(update={"gate": {"centre.rgb": 6.0}})
    verdict = Gate(GateSettings(), shifted).judge(output([[5.0, 5.0, 0.0]], [[True, True, False]]))
    assert not bool(verdict.accept[0])


@pytest.mark.parametrize("kind", [0.0, 1.0])
def test_one_class_streams_teach_nothing(source: dict[str, torch.Tensor], kind: float) -> None:
    adapter = make(source)
    for i in range(60):
        _, report = adapter.step(batch(10, seed=i, target=torch.full((10,), kind), first=10 * i))
        assert not report.updated
        assert "too little evidence" in str(report.skipped_reason)
    assert all(torch.equal(v, source[n]) for n, v in adapter.model.state_dict().items())


def test_single_modality_streams_teach_nothing(source: dict[str, torch.Tensor]) -> None:
    adapter = make(source)
    only_rgb = torch.tensor([[True, False, False]]).expand(10, 3)
    reports = [adapter.step(batch(10, seed=i, present=only_rgb, first=10 * i))[1] for i in range(20)]
    assert sum(r.accepted for r in reports) == 0
    assert all(torch.equal(v, source[n]) for n, v in adapter.model.state_dict().items())


def test_adaptation_widens_the_margin_on_a_shifted_toy_stream(source: dict[str, torch.Tensor]) -> None:
    adapter = make(source, learning_rate=5e-3)
    probe = batch(200, seed=999, shift=0.45)
    sign = torch.where(torch.arange(200) % 2 == 0, 1.0, -1.0)
    with torch.no_grad():
        before = float((sign * adapter.model(probe).logit).mean())
        reports = [adapter.step(batch(10, seed=i, shift=0.45, first=10 * i))[1] for i in range(60)]
        after = float((sign * adapter.model(probe).logit).mean())
    assert sum(report.updated for report in reports) > 10
    assert after > before + 0.1


def test_weight_falls_at_once_and_rises_slowly() -> None:
    weight = AdaptiveWeight(WeightSettings())
    calm = [weight.observe_batch(0.0, 0.0) for _ in range(5)]
    assert calm[-1] == pytest.approx(1.0)
    storm = weight.observe_batch(1.0, 1.0)
    assert storm < 0.7
    recovered = [weight.observe_batch(0.0, 0.0) for _ in range(30)]
    assert storm <= recovered[0] < recovered[5] < recovered[-1] <= 1.0
    assert recovered[0] - storm <= 0.3 * (1 - storm) + 1e-9


def test_weight_falls_on_a_loss_jump_and_keeps_its_floor() -> None:
    weight = AdaptiveWeight(WeightSettings(floor=0.2))
    for _ in range(20):
        weight.observe_loss(0.5)
    assert weight.observe_loss(50.0) == pytest.approx(0.2)
    restored = AdaptiveWeight(WeightSettings(floor=0.2))
    restored.load(weight.state())
    assert restored.observe_batch(0.1, 0.2) == weight.observe_batch(0.1, 0.2)


def test_memory_keeps_quotas_and_order() -> None:
    memory = Memory(capacity=3, per_presentation=1, per_subject=2)
    maps = {m: torch.full((2, 1, 1), 1.0) for m in MODALITIES}
    present = torch.tensor([True, True, False])
    assert memory.offer(Label.ATTACK, maps, present, "p1", "a")
    assert not memory.offer(Label.ATTACK, maps, present, "p1", "b")
    assert memory.offer(Label.ATTACK, maps, present, "p2", "a")
    assert not memory.offer(Label.ATTACK, maps, present, "p3", "a")
    assert memory.offer(Label.ATTACK, maps, present, "p4", "")
    assert memory.offer(Label.ATTACK, maps, present, "p5", "")
    assert memory.counts() == {Label.BONA_FIDE: 0, Label.ATTACK: 3}
    drawn, seen, target, reliability = memory.draw(8, torch.Generator().manual_seed(0))
    assert set(drawn) == set(MODALITIES[:2])
    assert seen.shape == (3, 3)
    assert target.tolist() == [0.0, 0.0, 0.0]
    assert reliability.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"extra_layers": ["no_such_layer"]}, "no_such_layer"),
        ({"gate": {"min_vote": 1.5}}, "gate.min_vote"),
        ({"gate": {"max_entropy_fraction": -1}}, "gate.max_entropy_fraction"),
        ({"surface": "everything"}, "surface"),
        ({"capacity": 4, "min_per_class": 8}, "capacity"),
        ({"soft_labels": "rather"}, "soft_labels"),
    ],
)
def test_bad_settings_are_refused_by_name(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        registry.create("mfas_danet", tiny_model(), card(), settings)


def test_a_class_that_never_comes_is_not_learnt_from_mistakes(source: dict[str, torch.Tensor]) -> None:
    """One capture in forty is an attack, as if the gate erred: in time the queue is full, and nothing is learnt."""
    rare = torch.tensor([0.0] + [1.0] * 39)
    strict = make(source, min_per_class=4)
    lax = make(source, min_per_class=4, min_share=0.0)
    reports = []
    for i in range(12):
        some = batch(40, seed=i, target=rare, first=40 * i)
        reports.append(strict.step(some)[1])
        lax.step(some)
    assert not any(report.updated for report in reports)
    assert reports[-1].skipped_reason == "too small a share of attack"
    assert lax.step(batch(1, seed=99))[1].drift > 0, "without the rule the same stream teaches"


def test_the_correction_gives_the_mean_shift_of_narrowly_accepted_captures_back(
    source: dict[str, torch.Tensor],
) -> None:
    """By hand: threshold 0.5, margin 2. Shifts of the captures at 0.5 and 1.5 count; those at -1 and 5 do not."""
    model = tiny_model()
    model.load_state_dict(source)
    hold = ThresholdHold(model, flat_card(), HoldSettings(margin=2.0, least=1, limit=10.0))
    (name,) = hold.names
    first = source[name].clone()
    hold.watch(fused([-9.0, 0.0, 0.5, 9.0]), fused([-1.0, 0.5, 1.5, 5.0]))
    assert hold.correction == pytest.approx(0.75)  # -(-0.5 - 1.0) / 2
    hold.watch(fused([0.75 + 0.5]), fused([1.0]))  # uncorrected it moved by -0.5: the mean of three is -2 / 3
    assert hold.correction == pytest.approx(2 / 3)
    hold.restore()
    assert torch.equal(model.state_dict()[name], first)


def test_the_correction_is_limited_and_survives_being_saved(source: dict[str, torch.Tensor]) -> None:
    model = tiny_model()
    model.load_state_dict(source)
    hold = ThresholdHold(model, flat_card(), HoldSettings(least=1, limit=0.5))
    hold.watch(fused([-7.0]), fused([1.0]))
    assert hold.correction == pytest.approx(0.5)
    saved = hold.state()
    hold.restore()
    hold.load(saved)
    assert hold.correction == pytest.approx(0.5)
    off = ThresholdHold(model, flat_card(), HoldSettings(limit=0.0))
    assert not off.names


def test_the_hold_moves_one_bias_and_reports_it(source: dict[str, torch.Tensor]) -> None:
    adapter = make(source, learning_rate=2e-2, hold={"margin": 50.0, "least": 1})
    reports = [adapter.step(batch(10, seed=i, shift=0.45, first=10 * i))[1] for i in range(40)]
    name = adapter.model.score_bias()
    assert name is not None
    moved = float(adapter.model.state_dict()[name] - source[name])
    assert moved != 0.0
    assert reports[-1].signals["correction"] == pytest.approx(moved)
    assert name in adapter.delta()


@pytest.mark.parametrize("evidence", ["fused_confidence", "everything"])
def test_plain_evidence_follows_the_fused_score(evidence: Evidence) -> None:
    verdict = plain_verdict(evidence, fused([6.0, -6.0, 0.1]), max_entropy_fraction=0.2)
    assert verdict.bona_fide.tolist() == [True, False, True]
    assert verdict.accept.tolist() == [True, True, evidence == "everything"]


def test_a_gate_that_follows_is_the_adapted_models_own(source: dict[str, torch.Tensor]) -> None:
    """Steps that ruin the model ruin the gate that follows it, and not the source's."""
    settings = {"learning_rate": 1.0, "radius": None, "anchor": 0.0, "hold": {"limit": 0.0}}
    fixed, following = make(source, **settings), make(source, gate_follows=True, **settings)
    accepted = []
    for i in range(40):
        some = batch(10, seed=i, shift=0.45, first=10 * i)
        accepted.append([a.step(some)[1].accepted_ids for a in (fixed, following)])
    assert any(a != b for a, b in accepted)


def fused(logits: list[float]) -> ModelOutput:
    """All sensors, nothing but a fused logit."""
    seen = torch.ones(len(logits), 3, dtype=torch.bool)
    return ModelOutput(torch.tensor(logits), torch.zeros(len(logits), 3), {}, {}, seen, ~seen, torch.zeros(seen.shape))


def flat_card() -> Card:
    """Threshold 0.5, whatever is missing."""
    return card().model_copy(update={"thresholds": dict.fromkeys(MISSING_PATTERNS, 0.5)})


def test_soft_labels_are_half_a_unit_of_doubt_away_and_weigh_as_hard_ones_do(source: dict[str, torch.Tensor]) -> None:
    """Two of each class in the queues: the loss is the cross-entropy with (1 + r) / 2 for the label's class."""
    adapter = make(source, soft_labels=True, weight_heads=0.0)
    some, target = batch(4), torch.tensor([1.0, 0.0, 1.0, 0.0])
    reliability = torch.tensor([1.0, 0.9, 0.2, 0.0])
    goal = torch.where(target > 0.5, (1 + reliability) / 2, (1 - reliability) / 2)
    assert torch.allclose(softened(target, reliability), goal)
    maps = adapter.model.lower(some)
    share = torch.full((4,), 0.25)
    found = adapter._loss(maps, some.present, softened(target, reliability), share, torch.Generator())
    with torch.no_grad():
        p = torch.sigmoid(adapter.model.upper(maps, some.present).logit.double())
    by_hand = -(goal * p.log() + (1 - goal) * (1 - p).log())
    assert float(found) == pytest.approx(float(by_hand.mean()), rel=1e-4)


def test_soft_labels_teach_otherwise_and_resume_exactly(source: dict[str, torch.Tensor]) -> None:
    hard, soft, other = make(source), make(source, soft_labels=True), make(source, soft_labels=True)
    stream = [batch(10, seed=i, shift=0.45, first=10 * i) for i in range(30)]
    updates = [[adapter.step(some)[1].updated for some in stream[:20]] for adapter in (hard, soft)]
    assert updates[0] == updates[1], "the gate does not know which"
    assert any(updates[0])
    assert any(not torch.equal(value, soft.delta()[name]) for name, value in hard.delta().items())
    other.load_state(soft.state())
    for some in stream[20:]:
        soft.step(some)
        other.step(some)
    assert all(torch.equal(value, other.delta()[name]) for name, value in soft.delta().items())


def test_states_from_before_soft_labels_still_load(source: dict[str, torch.Tensor]) -> None:
    adapter, again = make(source), make(source)
    for i in range(12):
        adapter.step(batch(10, seed=i, shift=0.45, first=10 * i))
    state = adapter.state()
    assert "soft_labels" not in state.facts["settings"]
    old = {name: x for name, x in state.tensors.items() if not name.endswith("reliability")}
    assert len(old) < len(state.tensors)
    again.load_state(AdapterState(old, state.facts))
    with pytest.raises(StateError, match="settings"):
        make(source, soft_labels=True).load_state(state)
    for i in range(12, 24):
        some = batch(10, seed=i, shift=0.45, first=10 * i)
        assert torch.equal(adapter.step(some)[0].score, again.step(some)[0].score)
