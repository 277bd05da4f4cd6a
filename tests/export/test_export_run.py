"""`mfas export` of an adapted state and in eight bits, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from commands import mfas, refusal
from mfas._files import sha256
from mfas.adaptation.saving import deploy
from mfas.card import Card
from mfas.core import MISSING_PATTERNS
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import read_manifest
from mfas.export.predictor import OnnxPredictor
from mfas.models.store import load_model


@pytest.fixture(scope="module")
def adapted(model_dir: Path, site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state that TENT has moved."""
    out = tmp_path_factory.mktemp("adapted")
    mfas(
        "adapt",
        "--model",
        model_dir,
        "--manifest",
        site / "manifest.parquet",
        "--method",
        "tent",
        "--out",
        out,
        "--json",
    ).json()
    return out


def test_an_adapted_state_scores_the_same_from_its_file(
    model_dir: Path, adapted: Path, site: Path, tmp_path: Path
) -> None:
    mfas("export", "--model", model_dir, "--delta", adapted, "--out", tmp_path, "--json").json()
    model, card = load_model(model_dir)
    data = CachedTensors(read_manifest(site / "manifest.parquet"), card.preprocess)
    batch = data.batch(range(20))
    before = model.predict(batch).score.numpy()
    deploy(model, adapted, {"model": sha256(model_dir / "card.json")})
    found = OnnxPredictor(tmp_path).predict({m: x.numpy() for m, x in batch.images.items()}, batch.present.numpy())
    assert np.abs(found.score - model.predict(batch).score.numpy()).max() < 1e-4
    assert np.abs(found.score - before).max() > 1e-3
    told = Card.read(tmp_path).adapted
    assert told is not None
    assert (told.source, told.method, told.missing) == (sha256(model_dir / "card.json"), "tent", "")
    assert told.delta == sha256(adapted / "delta.safetensors")
    assert told.manifest == sha256(site / "manifest.parquet")
    assert told.sites == tuple(sorted(set(read_manifest(site / "manifest.parquet").column("site"))))
    assert told.step > 0
    assert told.updates > 0
    assert Card.read(tmp_path).thresholds == card.thresholds


def test_eight_bits_are_measured_on_other_captures_than_they_were_calibrated_on(
    model_dir: Path, site: Path, tmp_path: Path
) -> None:
    mfas("export", "--model", model_dir, "--out", tmp_path, "--int8", site / "manifest.parquet", "--json").json()
    card = Card.read(tmp_path)
    assert card.int8 is not None
    assert (card.int8.calibrated_on, card.int8.captures) == (30, 30)
    assert set(card.int8.flips) == set(MISSING_PATTERNS)
    data = CachedTensors(read_manifest(site / "manifest.parquet"), card.preprocess)
    batch = data.batch(range(1, 60, 2))
    images = {m: x.numpy() for m, x in batch.images.items()}
    one, two = (OnnxPredictor(tmp_path, precision=p).predict(images, batch.present.numpy()) for p in ("fp32", "int8"))
    difference = np.abs(one.score - two.score).max()
    assert 0 < difference <= card.int8.largest_difference + 1e-3
    flips = np.mean((one.score >= card.threshold("")) != (two.score >= card.threshold("")))
    assert flips == pytest.approx(card.int8.flips[""], abs=1 / 30)


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("--set", "opset=99"), "expected opset out of 18, 19, 20, 21, got 99"),
        (("--delta", "nowhere"), "nowhere"),
        (("--int8", "nowhere.parquet"), "nowhere.parquet"),
        (("--set", "int8_captures=10", "--int8", "MANIFEST"), "expected at least 20 captures"),
    ],
)
def test_what_cannot_be_exported_is_refusal(
    argv: tuple[str, ...], sentence: str, model_dir: Path, site: Path, tmp_path: Path
) -> None:
    given = [str(site / "manifest.parquet") if a == "MANIFEST" else a for a in argv]
    assert sentence in refusal("export", "--model", model_dir, "--out", tmp_path / "out", *given)


def test_a_delta_of_another_model_or_over_its_own_source_is_refusal(
    model_dir: Path, adapted: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.safetensors").write_bytes((model_dir / "model.safetensors").read_bytes())
    Card.read(model_dir, verify=False).model_copy(
        update={"licence": "another", "files": {"model.safetensors": sha256(other / "model.safetensors")}}
    ).write(other)
    assert "the state was made with model" in refusal(
        "export", "--model", other, "--delta", adapted, "--out", tmp_path / "o"
    )
    assert "not the model's" in refusal("export", "--model", model_dir, "--delta", adapted, "--out", model_dir)
