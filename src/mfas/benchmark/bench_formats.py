"""Tables of a bench as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from mfas.report.bench_data import Spread, Table, Value
from mfas.report.bench_page import shown


def markdown(found: Iterable[Table]) -> str:
    """All tables as one page."""
    parts = ["# Benchmark"]
    for table in found:
        right = [":---" if i < table.keys else "---:" for i in range(len(table.header))]
        lines = [table.header, right, *([shown(value) for value in row] for row in table.rows)]
        text = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        parts.append(f"## {table.title}\n\n{table.note}\n\n{text}")
    return "\n\n".join(parts) + "\n"


def as_csv(found: Iterable[Table]) -> str:
    """All tables in long form: table, row, column, value and, over several seeds, deviation (unrounded)."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("table", "row", "column", "value", "deviation"))
    for table in found:
        for row in table.rows:
            name = " / ".join(str(value) for value in row[: table.keys])
            for column, value in zip(table.header[table.keys :], row[table.keys :], strict=True):
                plain, deviation = (value.mean, value.deviation) if isinstance(value, Spread) else (value, None)
                cells = ("" if cell is None else cell for cell in (plain, deviation))
                writer.writerow((table.title, name, column, *cells))
    return stream.getvalue()


def latex(found: Iterable[Table]) -> str:
    """All tables as floats for a document that uses the package ``booktabs``."""
    return "% needs \\usepackage{booktabs}\n\n" + "\n".join(_float(table) for table in found)


_ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "†": r"$^\dagger$",
    "±": r"$\pm$",
}


def _float(table: Table) -> str:
    lines = [
        r"\begin{table*}",
        r"\centering\small",
        rf"\caption{{{_escaped(table.title)}. {_escaped(table.note)}}}",
        rf"\begin{{tabular}}{{{'l' * table.keys}{'r' * (len(table.header) - table.keys)}}}",
        r"\toprule",
        _line(table.header),
        r"\midrule",
    ]
    for number, row in enumerate(table.rows):
        if table.keys > 1 and number and row[0] != table.rows[number - 1][0]:
            lines.append(r"\addlinespace")
        lines.append(_line(row))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table*}", ""])


def _line(values: Iterable[Value]) -> str:
    return " & ".join(_escaped(shown(value)) for value in values) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)
