"""What a bench leaves for people: tables in three formats, figures, and one page with all of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from mfas._files import make_folder, write_text
from mfas.benchmark.bench_config import BASELINE, BenchConfig
from mfas.benchmark.bench_error_tables import axes_of, figures_of, mean_over, spread
from mfas.benchmark.bench_formats import as_csv, latex, markdown
from mfas.benchmark.bench_statistics import Row, group
from mfas.benchmark.bench_tables import marks_of, tables
from mfas.report.bench_data import BenchData, CostPoint, Forest, ForestRow, Pareto
from mfas.report.bench_figures import write_forest, write_pareto
from mfas.report.bench_page import write_bench

_HIDDEN = {"out", "manifests", "plugins", "ray"}
"""Paths and addresses of the machine that made the run do not belong on a page."""


def write_results(result: dict[str, Any], config: BenchConfig) -> None:
    """Write ``tables.md``, ``.csv``, ``.tex``, ``figures/`` and ``report.html`` from a ``results.json``."""
    out, found = config.out, tables(result)
    for name, text in (("tables.md", markdown(found)), ("tables.csv", as_csv(found)), ("tables.tex", latex(found))):
        write_text(out / name, text)
    rows = [row for row in result["runs"] if row["status"] == "ok"]
    forests = list(_forests(result["comparisons_summary"], rows))
    paretos = list(_paretos(rows, result["cost"]))
    make_folder(out / "figures")
    for old in [path for kind in ("forest", "pareto") for path in (out / "figures").glob(f"{kind}_*")]:
        old.unlink()  # of an earlier grid
    for forest in forests:
        write_forest(forest, out / "figures" / _stem("forest", f"{forest.title} against {forest.against}"))
    for pareto in paretos:
        write_pareto(pareto, out / "figures" / _stem("pareto", pareto.title))
    plan = result["plan"]
    data = BenchData(
        title="Benchmark",
        subtitle=f"{', '.join(config.targets)}: {len(config.methods)} methods, {plan['cells']} cells",
        tables=found,
        forests=forests,
        paretos=paretos,
        notes=list(_notes(result, config)),
        environment=result["environment"],
        config=config.model_dump(mode="json", exclude=_HIDDEN),
    )
    write_bench(data, out / "report.html")


def _forests(summed: Sequence[Row], rows: Sequence[Row]) -> Iterable[Forest]:
    marks = marks_of(rows)
    for (against, model, seed, stream), own in group(summed, ("against", "model", "training_seed", "stream")).items():
        lines = [
            ForestRow(
                name=f"{entry['method']}{marks[entry['method']]}",
                difference=entry["mean_difference"],
                low=entry["mean_low"],
                high=entry["mean_high"],
                counts=(entry["wins"], entry["ties"], entry["losses"]),
            )
            for entry in sorted(own, key=lambda entry: entry["mean_difference"])
        ]
        yield Forest(f"{model} s{seed}, stream {stream}", against, tuple(lines))


def _paretos(rows: Sequence[Row], costs: Sequence[Row]) -> Iterable[Pareto]:
    """Mean HTER over targets and patterns that every method shown has run; none without measured costs."""
    marks = marks_of(rows)
    for (model, stream), own in group(rows, ("model", "stream")).items():
        targets, patterns = axes_of(own)
        places = [(target, pattern) for target in targets for pattern in patterns]
        known: dict[str, Row] = {entry["method"]: entry for entry in costs if entry["model"] == model}
        points = []
        for (method,), some in group(own, ("method",)).items():
            hter = spread(mean_over(figures_of(some, "hter"), places).values())
            if hter is not None and method == BASELINE:
                points.append(CostPoint(method, 1.0, hter.mean))
            elif hter is not None and method in known:
                cost = known[method]
                name = f"{method}{marks[method]}"
                points.append(CostPoint(name, 1 / cost["relative"], hter.mean, cost.get("state_mib")))
        if len(points) > 1:
            yield Pareto(f"{model}, stream {stream}", tuple(points))


def _stem(kind: str, title: str) -> str:
    return f"{kind}_{re.sub('[^A-Za-z0-9+.-]+', '_', title)}"


def _notes(result: dict[str, Any], config: BenchConfig) -> Iterable[str]:
    failed = sum(row["status"] != "ok" for row in result["runs"])
    if failed:
        yield f"{failed} cells failed; the last table says why. The next run tries them again."
    if not set(config.site_names) <= set(config.manifests):
        yield "Some or all captures are simulated: no real camera was involved there."
