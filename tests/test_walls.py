"""What may be imported when: the command line is quick, and what needs no network needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commands import mfas
from mfas.data.manifest import read_manifest
from mfas.data.scores import read_scores
from planted import captures

EXTRA = ("torch", "kornia", "numba", "safetensors", "lightning_fabric")
BLOCKED = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRA!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def python(*argv: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, argv)], capture_output=True, text=True, timeout=120, check=False)


def without_torch(*argv: object) -> subprocess.CompletedProcess[str]:
    """``mfas ARGV`` in a Python that has the core only."""
    return python("-c", BLOCKED + "from mfas.cli import main\nmain()", *argv)


def test_help_imports_nothing_heavy() -> None:
    done = python("-X", "importtime", "-m", "mfas", "--help")
    assert done.returncode == 0
    assert "adapt" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "mfas.cli" in imported
    heavy = {"torch", "numpy", "pydantic", "pyarrow", "cv2", "yaml", "sklearn", "matplotlib", "numba", "onnxruntime"}
    assert imported & heavy == set()


VERBS = [
    "demo",
    "train",
    "adapt",
    "predict",
    "explain",
    "score",
    "export",
    "evaluate",
    "data",
    "benchmark",
    "report",
    "serve",
    "client",
]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_without_torch(verb: str) -> None:
    done = without_torch(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"mfas {verb}" in done.stdout


def test_scores_are_evaluated_without_torch(tmp_path: Path) -> None:
    rows = [f"bona_fide,,0.{i}" for i in range(3, 10)] + [f"attack,print_flat,0.{i}" for i in range(1, 7)]
    (tmp_path / "s.csv").write_text("label,species,score\n" + "\n".join(rows) + "\n")
    done = without_torch("evaluate", tmp_path / "s.csv", "--threshold", 0.5)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "s.evaluation" / "evaluation.json").is_file()


def test_manifests_are_audited_without_torch(site: Path, tmp_path: Path) -> None:
    done = without_torch("data", "audit", site / "manifest.parquet", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"audit.json", "audit.html", "config.json"}


def test_manifests_are_checked_and_cropped_without_torch(site: Path, tmp_path: Path) -> None:
    assert without_torch("data", "check", site / "manifest.parquet").returncode == 0
    done = without_torch("data", "crop", site / "manifest.parquet", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(read_manifest(tmp_path / "manifest.parquet")) == 60


@pytest.mark.parametrize(
    "argv",
    [
        ("train", "--manifest", "m.csv", "--out", "m"),
        ("adapt", "--model", "m", "--manifest", "m.csv", "--out", "a"),
        ("predict", "--model", "m", "--rgb", "a.png"),
        ("explain", "--model", "m", "--rgb", "a.png", "--out", "o"),
        ("export", "--model", "m", "--out", "e"),
        ("data", "simulate", "--site", "office", "--count", "3", "--out", "s"),
        ("demo",),
        ("benchmark", "--config", "b.yaml"),
    ],
    ids=lambda argv: argv[0],
)
def test_verbs_that_need_the_extra_say_how_to_get_it(argv: tuple[str, ...]) -> None:
    done = without_torch(*argv)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("mfas: ")
    assert line.endswith("needs the 'train' extra: pip install 'mfas[train]'")


def test_parts_that_need_no_torch_import_without_it() -> None:
    parts = ["mfas.core", "mfas.errors", "mfas.config", "mfas.card", "mfas.cli", "mfas.benchmark"]
    parts += ["mfas.data.manifest", "mfas.data.scores", "mfas.data.capture", "mfas.data.cropping", "mfas.data.check"]
    parts += ["mfas.metrics", "mfas.report", "mfas.benchmark.evaluation_run", "mfas.benchmark.data_runs"]
    parts += ["mfas.benchmark.scoring_run", "mfas.benchmark.stream_report", "mfas.data.manifest_parts", "mfas._ray"]
    parts += ["mfas.benchmark.audit_run", "mfas.data.measure", "mfas.export.predictor", "mfas.benchmark.prediction_run"]
    parts += ["mfas.explain.record", "mfas.explain.shapley", "mfas.explain.settings"]
    parts += ["mfas.export.answer", "mfas.service.serving", "mfas.service.client"]
    done = python("-c", BLOCKED + "".join(f"import {name}\n" for name in parts))
    assert done.returncode == 0, done.stderr


def test_an_exported_model_predicts_without_torch_as_with_it(
    exported: Path, model_dir: Path, site: Path, tmp_path: Path
) -> None:
    row = read_manifest(site / "manifest.parquet").row(0)
    argv = ("--rgb", site / row.rgb, "--ir", site / row.ir, "--box", row.box, "--json")
    done = without_torch("predict", "--model", exported, *argv)
    assert done.returncode == 0, done.stderr
    bare, full = json.loads(done.stdout), mfas("predict", "--model", model_dir, *argv).json()
    assert bare["score"] == pytest.approx(full["score"], abs=1e-4)
    assert bare["modality_scores"] == pytest.approx(full["modality_scores"], abs=1e-4)
    assert {k: bare[k] for k in ("decision", "substituted", "present")} == {
        k: full[k] for k in ("decision", "substituted", "present")
    }


def test_a_manifest_is_scored_without_torch(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(captures(tmp_path, 4)), tmp_path / "manifest.parquet")
    out = tmp_path / "scores.parquet"
    done = without_torch("score", "--manifest", tmp_path / "manifest.parquet", "--out", out, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert np.isfinite(read_scores(out).column("score")).all()


def test_an_adapted_stream_is_reported_without_torch(model_dir: Path, site: Path, tmp_path: Path) -> None:
    argv = ("--model", model_dir, "--manifest", site / "manifest.parquet", "--method", "mfas_danet")
    mfas("adapt", *argv, "--out", tmp_path, "--set", "threads=1", "--json").json()
    done = without_torch("report", tmp_path, "--model", model_dir)
    assert done.returncode == 0, done.stderr
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_the_simulator_loads_no_torch() -> None:
    pytest.importorskip("numba")
    code = "import sys, mfas.simulation\nassert 'torch' not in sys.modules"
    assert python("-c", code).returncode == 0
