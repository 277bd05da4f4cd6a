"""What the command line prints: progress on a terminal's standard error, results on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn


def say(sentence: str) -> None:
    """One line of news on standard error."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


def show(result: Mapping[str, Any], as_json: bool) -> None:
    """Print a result: JSON for programs, else one ``key: value`` line per entry; what is nested or long is indented."""
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2, allow_nan=False) + "\n")
    else:
        sys.stdout.write("\n".join(_lines(result, "")) + "\n")


@contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yield ``advance(done, total)``; draws a bar on a terminal and is silent elsewhere."""
    if not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def fail(sentence: str) -> NoReturn:
    """Print one sentence on standard error and exit with code 2."""
    sys.stderr.write(f"mfas: {sentence}\n")
    raise SystemExit(2)


def _silent(done: int, total: int) -> None:
    del done, total


def _lines(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield f"{indent}{key}:"
            yield from _lines(item, indent + "  ")
        elif isinstance(item, list | tuple) and item and isinstance(item[0], Mapping):
            yield f"{indent}{key}:"
            for entry in item:
                yield f"{indent}  -"
                yield from _lines(entry, indent + "    ")
        elif isinstance(item, str) and "\n" in item:
            yield f"{indent}{key}:"
            yield from (f"{indent}  {line}" for line in item.splitlines())
        else:
            yield f"{indent}{key}: {_text(item)}"


def _text(item: Any) -> str:
    if item is None:
        return "-"
    if isinstance(item, float):
        return f"{item:.4g}"
    if isinstance(item, list | tuple):
        return ", ".join(_text(part) for part in item) or "-"
    return str(item)
