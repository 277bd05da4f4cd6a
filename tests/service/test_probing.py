"""The oracle alarm: small changes of one capture raise it, the traffic of a site does not."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfas.card import Card
from mfas.core import Modality
from mfas.data.capture import NoFace, load_capture
from mfas.data.images import read_rgb
from mfas.data.manifest import read_manifest
from mfas.data.preprocess import Planes, preprocess
from mfas.export.predictor import OnnxPredictor, stack
from mfas.service.ledger import verify
from mfas.service.probing import ProbeWatch, look_of
from mfas.service.settings import Probing
from mfas.weights import default_directory
from served import SITE, crop, png, served

CARD = Card.read(default_directory(), verify=False)
DEFAULTS = Probing()


def noise(image: np.ndarray, rng: np.random.Generator, amount: float = 2.0) -> np.ndarray:  # type: ignore[type-arg]
    changed = image.astype(float) + rng.normal(0, amount, image.shape)
    return np.clip(changed, 0, np.iinfo(image.dtype).max).astype(image.dtype)


@pytest.mark.parametrize("given", [("rgb",), ("ir",), ("depth",), ("rgb", "depth", "ir")])
def test_a_thousand_small_perturbations_raise_it_once(given: tuple[str, ...]) -> None:
    rng, now = np.random.default_rng(0), [0.0]
    watch = ProbeWatch(DEFAULTS, lambda: now[0])
    raw = {m: cv2.imdecode(np.frombuffer(crop()[m], np.uint8), cv2.IMREAD_UNCHANGED) for m in given}
    raised = []
    for k in range(1000):
        now[0] += 0.1
        planes = _planes({name: noise(image, rng) for name, image in raw.items()})
        reason = watch.see("key", look_of(planes), 0.3 + 0.4 * rng.random())
        raised += [k] if reason else []
    assert len(raised) == 1
    assert raised[0] < 2 * DEFAULTS.repeats


def _planes(images: dict[str, np.ndarray]) -> Planes:  # type: ignore[type-arg]
    from mfas.data.preprocess import Capture

    return preprocess(Capture({Modality(m): i for m, i in images.items()}, None, (0, 0)), CARD.preprocess)


def test_scores_within_a_hair_raise_it_whatever_the_pictures() -> None:
    rng = np.random.default_rng(0)
    watch = ProbeWatch(DEFAULTS, lambda: 0.0)
    raised = [watch.see("key", int(rng.integers(2**62)) ** 8, 0.6 + rng.uniform(-5e-4, 5e-4)) for _ in range(300)]
    assert sum(r is not None for r in raised) == 1
    assert "scores within" in next(r for r in raised if r)


def test_sure_scores_of_different_people_do_not() -> None:
    rng = np.random.default_rng(0)
    watch = ProbeWatch(DEFAULTS, lambda: 0.0)
    assert not any(watch.see("key", int.from_bytes(rng.bytes(64)), 0.999) for _ in range(2000))


def test_keys_do_not_answer_for_each_other_and_time_heals() -> None:
    now = [0.0]
    watch = ProbeWatch(Probing(repeats=10, seconds=60), lambda: now[0])
    assert not any(watch.see(f"key {k}", 0, 0.5) for _ in range(9) for k in range(50))
    now[0] = 61
    assert not any(watch.see("key 1", 0, 0.5) for _ in range(9))
    assert watch.see("key 1", 0, 0.5)
    assert not ProbeWatch(Probing(enabled=False, repeats=2)).see("k", 0, 0.5)


def test_the_traffic_of_a_site_does_not(site: Path) -> None:
    """All captures of a simulated site within ten minutes, thrice over as if each person came three times."""
    manifest, predictor = read_manifest(site / "manifest.parquet"), OnnxPredictor(default_directory(), threads=1)
    watch = ProbeWatch(DEFAULTS, lambda: 0.0)
    for given in (tuple(Modality), (Modality.IR,), (Modality.DEPTH,)):
        for row in manifest:
            capture = load_capture(row, manifest.root)
            if isinstance(capture, NoFace):
                continue
            planes = {m: p for m, p in preprocess(capture, CARD.preprocess).items() if m in given}
            score = float(predictor.predict(*stack([planes])).score[0])
            for _ in range(3):
                assert watch.see(",".join(given), look_of(planes), score) is None


def test_over_http_it_counts_and_stands_in_the_ledger(tmp_path: Path) -> None:
    rng, image = np.random.default_rng(0), read_rgb(crop()["rgb"])
    with served(tmp_path, probing={"repeats": 20}) as running:
        for _ in range(25):
            assert running.decide({"rgb": png(noise(image, rng))}, device="door").status_code == 200
        metrics = running.http.get("/metrics", headers=running.headers("operate")).text
        assert f'mfas_probing_alarms_total{{site="{SITE}"}} 1.0' in metrics
        rows = running.store.ledger(kinds=("probing_alarm",))
        assert [row.site for row in rows] == [SITE]
        assert rows[0].payload["key"] == running.records["score"].id
        assert "device" not in rows[0].payload  # the ledger outlives a deletion, the decision's own row does not
        decided = running.store.decision(rows[0].payload["request_id"])
        assert decided.device == running.service.secret.pseudonym(SITE, "device", "door")
        assert "look all but the same" in json.dumps(dict(rows[0].payload))
        verify(running.store.database)
