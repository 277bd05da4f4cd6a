"""`mfas evaluate`: ISO/IEC 30107-3 figures of anyone's scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from mfas._files import make_folder, write_json
from mfas.benchmark.results import metrics_of, score_group
from mfas.config import Config, environment, write_resolved
from mfas.data.scores import ScoreTable, bona_fide_and_attacks, read_scores, split
from mfas.errors import ScoreError
from mfas.metrics.summary import METRIC_NAMES
from mfas.metrics.thresholds import equal_error_threshold
from mfas.report.evaluation_page import write_evaluation


class EvaluateConfig(Config):
    """Configuration of `mfas evaluate`. ``unit`` presentation = captures of a presentation are averaged first."""

    scores: Path
    out: Path
    threshold: float | None = Field(None, ge=0, le=1)
    dev: Path | None = None
    unit: str = Field("presentation", pattern="^(presentation|frame)$")
    draws: int = Field(2000, ge=0, le=100_000)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _one_origin(self) -> EvaluateConfig:
        if self.threshold is not None and self.dev is not None:
            raise ValueError("expected either threshold or dev, got both")
        return self


def evaluate_scores(config: EvaluateConfig) -> dict[str, Any]:
    """Evaluate every run found in the table; writes ``OUT/evaluation.json`` and one HTML page per run.

    A run is one combination of site, missing pattern, model, method and seed. Raises `ScoreError`.
    """
    table = read_scores(config.scores)
    if not len(table):
        raise ScoreError(f"expected scores in {config.scores}, got none")
    if (table.column("label") == "").any():
        raise ScoreError(f"{config.scores}: expected a label in every row, got an empty one")
    threshold, origin = _threshold(config)
    make_folder(config.out)
    runs = []
    for keys, part in split(table):
        rows = part.by_presentation() if config.unit == "presentation" else part
        metrics = metrics_of(rows, threshold, seed=config.seed, draws=config.draws)
        name = _name(keys)
        page = config.out / f"{name}.html"
        title = f"{config.scores.name} {_title(keys)}".strip()
        write_evaluation(
            metrics,
            score_group(rows, config.scores.stem, threshold),
            page,
            title,
            command=f"mfas evaluate {config.scores.name}",
            environment=environment(),
        )
        identity = dict(zip(("site", "missing", "model", "method", "seed"), keys, strict=True))
        runs.append(
            {**identity, "unit": config.unit, "threshold_origin": origin, "page": page.name, **metrics.to_dict()}
        )
    result = {
        "kind": "evaluation",
        "schema": 1,
        "command": _command(config),
        "runs": runs,
        "environment": environment(),
    }
    write_json(config.out / "evaluation.json", result)
    write_resolved(config, config.out, "evaluate")
    return result


def brief(result: dict[str, Any]) -> dict[str, Any]:
    """The result as a person at a terminal wants it: one line per figure, in percent, with its interval."""
    runs = [
        {key: run[key] for key in _SHOWN_KEYS if run[key] not in ("", None)} | _figures(run) for run in result["runs"]
    ]
    return {"runs": runs}


_SHOWN_KEYS = ("site", "missing", "model", "method", "threshold", "n_bona_fide", "n_attack", "n_subjects", "page")


def _figures(run: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name in METRIC_NAMES:
        if name == "apcer_by_species":
            cells = (run[name] or {}).items()
            shown[name] = {key: _percent(value, run["intervals"].get(f"{name}.{key}")) for key, value in cells}
        else:
            shown[name] = "-" if run[name] is None else _percent(run[name], run["intervals"].get(name))
    return shown | ({"notes": run["notes"]} if run["notes"] else {})


def _percent(value: float, interval: dict[str, Any] | None) -> str:
    span = f" [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]" if interval else ""
    return f"{100 * value:.1f} %{span}"


def _command(config: EvaluateConfig) -> str:
    threshold = "" if config.threshold is None else f" --threshold {config.threshold:g}"
    dev = "" if config.dev is None else f" --dev {config.dev.name}"
    unit = "" if config.unit == "presentation" else f" --set unit={config.unit}"
    return f"mfas evaluate {config.scores.name}{threshold}{dev}{unit}"


def _threshold(config: EvaluateConfig) -> tuple[float | None, str]:
    if config.threshold is not None:
        return config.threshold, "given"
    if config.dev is None:
        return None, "none"
    parts = bona_fide_and_attacks(_units(read_scores(config.dev), config.unit))
    if not len(parts.bona_fide) or not parts.attacks:
        raise ScoreError(f"expected bona fide and attack scores in {config.dev} to set a threshold, got one class")
    return equal_error_threshold(parts.bona_fide, parts.attacks), "equal error of the development scores"


def _units(table: ScoreTable, unit: str) -> ScoreTable:
    return table.by_presentation() if unit == "presentation" else table


def _name(keys: tuple[Any, ...]) -> str:
    site, missing, model, method, seed = keys
    parts = [
        site,
        model,
        method,
        f"missing-{missing.replace(',', '-')}" if missing else "",
        f"s{seed}" if method else "",
    ]
    text = "_".join(part for part in parts if part)
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text) or "evaluation"


def _title(keys: tuple[Any, ...]) -> str:
    site, missing, model, method, _ = keys
    parts = [site, model, method, f"missing {missing}" if missing else ""]
    return ", ".join(part for part in parts if part)
