"""Weaknesses by rule: what a part of the report must show for a sentence to go to the model's card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mfas.benchmark.assurance_parts import Part
from mfas.benchmark.steal_findings import steal_weaknesses
from mfas.errors import InputError

HIGHEST_APCER = 0.15
"""Attacks of a species accepted: the weakest level in use for certification (Common Criteria, PAD level 1)."""
HIGHEST_BPCER = 0.15
"""Living people rejected: the limit that laboratories hold the same level to."""


def weaknesses(parts: list[Part]) -> list[str]:
    """Sentences in the order of the parts, each once. Raises `InputError` for a part that lacks what its kind has."""
    found: list[str] = []
    for part in parts:
        try:
            found += _of(part)
        except (AttributeError, KeyError, TypeError, ValueError) as fault:
            raise InputError(f"{part.name} is not a whole part of kind '{part.kind}' ({fault!r})") from None
    return list(dict.fromkeys(found))


def _of(part: Part) -> Iterator[str]:
    stolen = part.kind == "steal" and "clones" in part.content
    yield from steal_weaknesses(part.content) if stolen else part.findings
    if part.kind == "evaluation":
        for run in part.content["runs"]:
            yield from _rates(run)
    if part.kind == "streams":
        yield from _harm(part.content["runs"])


def _rates(run: Mapping[str, Any]) -> Iterator[str]:
    where = _where(run, "site")
    for species, value in (run.get("apcer_by_species") or {}).items():
        if value > HIGHEST_APCER:
            exact = _exact(run, f"apcer_by_species.{species}")
            yield f"{species}{where}: APCER {_percent(value)}{exact}, above {_percent(HIGHEST_APCER)}."
    value = run.get("bpcer")
    if value is not None and value > HIGHEST_BPCER:
        yield f"Living people{where}: BPCER {_percent(value)}{_exact(run, 'bpcer')}, above {_percent(HIGHEST_BPCER)}."


def _harm(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Per method: runs whose error rose beyond doubt, the interval of the paired difference lying above zero."""
    for method in dict.fromkeys(str(run["method"]) for run in runs if run.get("hter_difference")):
        own = [run for run in runs if run["method"] == method and run.get("hter_difference")]
        worse = [run for run in own if run["hter_difference"]["low"] > 0]
        if worse:
            worst = max(worse, key=lambda run: float(run["hter_difference"]["difference"]))
            yield (
                f"Adapting with {method}: the HTER rises beyond the doubt of its interval in {len(worse)} of "
                f"{len(own)} runs, by {100 * worst['hter_difference']['difference']:.1f} points in the worst"
                f"{_where(worst, 'target')}."
            )


def _where(run: Mapping[str, Any], key: str) -> str:
    place = f" at {run[key]}" if run.get(key) else ""
    return place + (f" without {run['missing']}" if run.get("missing") else "")


def _exact(run: Mapping[str, Any], name: str) -> str:
    exact = ((run.get("intervals") or {}).get(name) or {}).get("clopper_pearson")
    return f" [{100 * exact['low']:.1f}, {100 * exact['high']:.1f}]" if exact else ""


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
