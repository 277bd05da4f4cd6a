"""A protocol's page: what was measured here, and below it, in the same columns, what papers print."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mfas.data.protocol import Protocol
from mfas.data.published import PublishedTable

Row = Mapping[str, Any]
Pair = tuple[float, float]
_RULE = "HTER / AUC in per cent, by frame; HTER at the equal-error point of the test scores."


def protocol_page(
    protocol: Protocol,
    rows: Sequence[Row],
    tables: Iterable[PublishedTable],
    sets: Mapping[str, Mapping[str, Any]],
    cases: Sequence[str],
) -> str:
    """Markdown. ``rows`` as `protocol_run` measures them; ``sets`` are summaries of the imports."""
    by_missing = len(protocol.missing) > 1
    columns = protocol.missing if by_missing else cases
    parts = [f"# {protocol.title}", _RULE, "## Measured here"]
    if by_missing:
        parts.append(f"Means over {', '.join(cases)}.")
    parts.append(_table(("model", "method"), columns, measured_cells(rows, by_missing), by_missing))
    parts += [_seeds(rows), _sizes(sets)]
    for table in tables:
        if (table.columns == "missing") != by_missing:
            continue
        cells: dict[tuple[str, ...], dict[str, Pair]] = {(name,): found for name, found in table.rows.items()}
        parts += ["## Published, not measured here", f"Source: {table.source}."]
        if table.note:
            parts.append(f"Note: {table.note}.")
        parts.append(_table(("method",), columns, cells, by_missing))
    return "\n\n".join(part for part in parts if part) + "\n"


def measured_cells(rows: Sequence[Row], by_missing: bool) -> dict[tuple[str, ...], dict[str, Pair]]:
    """Per cent by (model, method) and column: the mean over seeds, and over cases where patterns are the columns."""
    found: dict[tuple[str, ...], dict[str, list[Pair]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["hter_eer"] is not None and row["auc"] is not None:
            column = row["missing"] if by_missing else row["case"]
            found[row["model"], row["method"]][column].append((100 * row["hter_eer"], 100 * row["auc"]))
    return {name: {c: _mean(pairs) for c, pairs in cells.items()} for name, cells in found.items()}


def _mean(pairs: Sequence[Pair]) -> Pair:
    return sum(p[0] for p in pairs) / len(pairs), sum(p[1] for p in pairs) / len(pairs)


def _table(
    heads: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[str, ...], Mapping[str, Pair]],
    by_missing: bool,
) -> str:
    titles = [f"without {c or 'nothing'}" for c in columns] if by_missing else list(columns)
    more = ["mean"] if len(columns) > 1 else []
    lines = [
        "| " + " | ".join([*heads, *titles, *more]) + " |",
        "|" + " --- |" * (len(heads) + len(titles) + len(more)),
    ]
    for names, found in cells.items():
        shown = [_text(found[c]) if c in found else "-" for c in columns]
        whole = all(c in found for c in columns)
        mean = [_text(_mean([found[c] for c in columns])) if whole else "-"] if more else []
        lines.append("| " + " | ".join([*names, *shown, *mean]) + " |")
    return "\n".join(lines)


def _text(pair: Pair) -> str:
    return f"{pair[0]:.2f} / {pair[1]:.2f}"


def _seeds(rows: Sequence[Row]) -> str:
    seeds = sorted({(row["training_seed"], row["seed"]) for row in rows})
    silent = sum(row["non_response"] for row in rows)
    return f"Seeds (training, stream): {', '.join(map(str, seeds)) or 'none'}. Frames without an answer: {silent}."


def _sizes(sets: Mapping[str, Mapping[str, Any]]) -> str:
    """Captures by split, beside the published list sizes where they are known."""
    lines = ["| set | split | captures | published list | skipped |", "| --- | --- | --- | --- | --- |"]
    for name, summary in sets.items():
        for split, count in summary["counts"]["split"].items():
            expected = summary.get("expected", {}).get(split, "-")
            lines.append(f"| {name} | {split} | {count} | {expected} | {summary['skipped']} |")
    return "\n".join(lines)
