"""What reaches an adapter, and what a run with captures that cannot be answered looks like."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mfas.benchmark import adaptation_run
from mfas.benchmark.adaptation_run import AdaptConfig, adapt
from mfas.core import MODALITIES, Batch, CaptureIds
from mfas.data.manifest import Manifest, read_manifest, write_manifest
from mfas.data.scores import read_scores


def test_batches_carry_no_label(model_dir: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Batch] = []
    build = adaptation_run.create

    def watched(*args: Any, **kwargs: Any) -> Any:
        adapter = build(*args, **kwargs)
        step = adapter.step
        adapter.step = lambda batch: seen.append(batch) or step(batch)
        return adapter

    monkeypatch.setattr(adaptation_run, "create", watched)
    adapt(AdaptConfig(model=model_dir, manifest=site / "manifest.parquet", out=tmp_path, threads=1))
    assert sum(len(batch) for batch in seen) == 60
    assert {f.name for f in fields(Batch)} == {"images", "present", "ids"}
    listed = read_manifest(site / "manifest.parquet")
    telling = {*listed.counts("label"), *listed.counts("species")} - {""}
    assert telling >= {"bona_fide", "attack"}
    for batch in seen:
        for field in fields(CaptureIds):
            texts = [value for value in getattr(batch.ids, field.name) if isinstance(value, str)]
            assert not [text for text in texts if any(word in text for word in telling)], field.name


def test_identities_do_not_tell_the_label(site: Path) -> None:
    """Nothing in the identities separates the classes by itself: sorted by any of them, classes stay mixed."""
    listed = read_manifest(site / "manifest.parquet")
    live = listed.column("label") == "bona_fide"
    for name in ("capture_id", "presentation_id", "timestamp"):
        ordered = live[np.argsort(listed.column(name).astype(str), kind="stable")]
        changes = int(np.count_nonzero(ordered[1:] != ordered[:-1]))
        assert changes > 4, name


def test_captures_without_a_face_are_non_responses_in_place(model_dir: Path, site: Path, tmp_path: Path) -> None:
    listed = read_manifest(site / "manifest.parquet").in_arrival_order()
    Image.new("RGB", (112, 112), (80, 80, 80)).save(tmp_path / "wall.png")
    rows = []
    for i in range(12):
        row = {name: listed.column(name)[i] for name in listed.table.column_names}
        row |= {m.value: str(site / row[m.value]) for m in MODALITIES}
        if i in (3, 11):
            row |= {"rgb": str(tmp_path / "wall.png"), "depth": "", "ir": "", "box": ""}
        if i == 5:
            row |= {"rgb": "", "ir": ""}
        rows.append(row)
    write_manifest(Manifest.from_rows(rows, tmp_path), tmp_path / "m.csv")
    given = {"model": model_dir, "manifest": tmp_path / "m.csv", "batch_size": 4, "threads": 1}
    result = adapt(AdaptConfig(**given, out=tmp_path / "all"))
    assert result["non_response"] == 2
    scores = read_scores(tmp_path / "all" / "scores.parquet")
    by_id = dict(zip(scores.column("capture_id"), scores.column("outcome"), strict=True))
    assert by_id[rows[3]["capture_id"]] == by_id[rows[11]["capture_id"]] == "non_response"
    assert list(by_id.values()).count("scored") == 10
    result = adapt(AdaptConfig(**given, out=tmp_path / "imposed", missing="depth"))
    assert result["non_response"] == 3, "a capture of depth alone has nothing left"
    present = read_scores(tmp_path / "imposed" / "scores.parquet").column("present")
    assert set(present) == {"rgb,ir", ""}
