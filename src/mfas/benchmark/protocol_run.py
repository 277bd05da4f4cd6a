"""`mfas benchmark --data-root`: a paper's protocol on one's own copy of the data, beside the published figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mfas._files import make_folder, read_json, write_json, write_text
from mfas.benchmark.bench import run_bench
from mfas.benchmark.bench_outcome import PROBE_FILE
from mfas.benchmark.protocol_config import ProtocolRunConfig
from mfas.benchmark.protocol_data import import_all, manifest_of, target_name, whole_stream, write_target
from mfas.benchmark.protocol_table import protocol_page
from mfas.benchmark.results import metrics_of
from mfas.config import write_resolved
from mfas.core import Outcome
from mfas.data.protocol import Protocol
from mfas.data.published import published
from mfas.data.scores import read_scores

Advance = Callable[[int, int], None]
Row = dict[str, Any]


def run_protocol(config: ProtocolRunConfig, protocol: Protocol, progress: Advance | None = None) -> dict[str, Any]:
    """Import, train, adapt and score every case; writes ``OUT/protocol.json`` and ``OUT/protocol.md``.

    What is scored is the target's test list, frame by frame, after the stream (for the row ``source``: unadapted).
    Only figures of that unit and rule stand beside published ones. What an earlier run finished is used again.
    """
    make_folder(config.out)
    write_resolved(config, config.out, "benchmark", protocol=protocol.model_dump(mode="json"))
    sets = import_all(config, protocol, progress)
    rows: list[Row] = []
    failed: list[str] = []
    for name, case in config.chosen(protocol).items():
        target = target_name(case)
        manifests = {source: manifest_of(config, source) for source in case.sources}
        manifests[target] = write_target(config, name, case)
        bench = config.bench(name, protocol, manifests, target, whole_stream(manifests[target]))
        run_bench(bench, progress)
        found = read_json(bench.out / "results.json", "results of a bench")["runs"]
        rows += [_measured(name, run, bench.out) for run in found if run["status"] == "ok"]
        failed += [f"{name}, {run['method']}: {run['status']}" for run in found if run["status"] != "ok"]
    result = {
        "protocol": protocol.name,
        "title": protocol.title,
        "measured": rows,
        "published": [table.model_dump(mode="json") for table in published(protocol.name)],
        "sets": sets,
        "failed": failed,
    }
    page = protocol_page(protocol, rows, published(protocol.name), sets, tuple(config.chosen(protocol)))
    write_json(config.out / "protocol.json", result)
    write_text(config.out / "protocol.md", page)
    return {"results": str(config.out / "protocol.json"), "page": str(config.out / "protocol.md"), "table": page} | (
        {"failed": failed} if failed else {}
    )


def _measured(case: str, run: Row, out: Path) -> Row:
    """Frame-level figures of the test list of one run."""
    scores = read_scores(out / "cells" / run["cell"] / PROBE_FILE)
    found = metrics_of(scores, None, draws=0)
    answered = scores.column("outcome") == Outcome.SCORED.value
    return {
        "case": case,
        **{key: run[key] for key in ("target", "sources", "model", "method", "missing", "seed", "training_seed")},
        "unit": "frame",
        "captures": len(answered),
        "non_response": int((~answered).sum()),
        "hter_eer": found.hter_eer,
        "auc": found.auc,
    }
