"""The summary in words, written from the numbers."""

from __future__ import annotations

from statistics import fmean

from mfas.report import _text
from mfas.report.compare import Pair
from mfas.report.data import ReportData


def summary(data: ReportData, pairs: list[Pair]) -> list[str]:
    """Paragraphs: one per (target, model, method) with what changed, then the caveats."""
    paragraphs = [_change(group) for group in grouped(pairs)]
    if not paragraphs:
        paragraphs = ["No run has both a figure before and after adaptation, so there is no comparison to report."]
    return [*paragraphs, " ".join([*caveats(data, pairs), *data.notes])]


def grouped(pairs: list[Pair]) -> list[list[Pair]]:
    """Pairs of one target, model and method together."""
    groups: dict[tuple[str, str, str], list[Pair]] = {}
    for pair in pairs:
        groups.setdefault((pair.target, pair.model, pair.method), []).append(pair)
    return list(groups.values())


def mean_change(pairs: list[Pair]) -> tuple[float, float, float]:
    """Mean HTER before, after, and the difference."""
    before, after = fmean(p.before for p in pairs), fmean(p.after for p in pairs)
    return before, after, after - before


def _change(group: list[Pair]) -> str:
    first = group[0]
    before, after, gap = mean_change(group)
    over = "one missing pattern" if len(group) == 1 else f"{len(group)} missing patterns"
    sentences = [
        f"At {_text.plain(first.target) or 'the target site'}, {_name(first)} moved the half total error rate (HTER), "
        f"averaged over {over}, from {_text.percent(before)} to {_text.percent(after)} "
        f"({_text.points(gap)} points), at thresholds fixed on source validation."
    ]
    several = [p for p in group if p.sensors >= 2]
    if several and len(several) < len(group):
        start, end, change = mean_change(several)
        sentences.append(
            f"With two or three sensors the mean went from {_text.percent(start)} to {_text.percent(end)} "
            f"({_text.points(change)} points)."
        )
    return " ".join([*sentences, *_extremes(group), *_certainty(group)])


def _extremes(group: list[Pair]) -> list[str]:
    if len(group) < 2:
        return []
    best, worst = min(group, key=lambda p: p.difference), max(group, key=lambda p: p.difference)
    hardest = max(group, key=lambda p: p.after)
    found = []
    if best.difference < 0:
        found.append(
            f"The largest gain is with {_text.pattern(best.missing)} ({_text.points(best.difference)} points)."
        )
    if worst.difference > 0:
        found.append(
            f"It made things worse with {_text.pattern(worst.missing)}: {_text.percent(worst.before)} before, "
            f"{_text.percent(worst.after)} after ({_text.points(worst.difference)} points)."
        )
    else:
        found.append(f"No pattern got worse; the smallest change is {_text.points(worst.difference)} points.")
    found.append(
        f"The weakest pattern after adaptation is {_text.pattern(hardest.missing)} at {_text.percent(hardest.after)}."
    )
    return found


def _certainty(group: list[Pair]) -> list[str]:
    known = [p for p in group if p.low is not None]
    if not known:
        return []
    better = sum(p.verdict == "better" for p in known)
    worse = sum(p.verdict == "worse" for p in known)
    unclear = len(known) - better - worse
    return [
        f"The 95 % interval of the paired difference lies below zero in {better} of {len(known)} patterns, above zero "
        f"in {worse}, and holds zero in {unclear}."
    ]


def _name(pair: Pair) -> str:
    return f"adaptation by {pair.method}" + (f" of {pair.model}" if pair.model and pair.model != pair.method else "")


def caveats(data: ReportData, pairs: list[Pair]) -> list[str]:
    """What the figures do not show."""
    found = []
    if data.simulated:
        found.append(
            "All captures are simulated: the figures show how the method behaves, not what a given camera will reach."
        )
    counts = sorted({run["n_subjects"] for run in data.runs if run.get("n_subjects")})
    if counts:
        people = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        units = {i.get("unit") for run in data.runs for i in (run.get("intervals") or {}).values()} - {None}
        over = f"; intervals are over {_text.listing(sorted(f'{unit}s' for unit in units))}" if units else ""
        found.append(f"They rest on {people} {'subject' if people == '1' else 'subjects'} per run{over}.")
    elif data.runs:
        found.append("Subjects are not known, so intervals are over presentations and may be too narrow.")
    if pairs and all(p.seeds == 1 for p in pairs):
        found.append("Each run was made once (one seed), so the spread between training runs is not in the intervals.")
    silent = sum(int(run.get("non_response") or 0) for run in data.runs)
    if silent:
        found.append(f"{silent} times there was no answer; these are counted, not scored.")
    failed = [run for run in data.runs if run.get("status") not in (None, "", "ok")]
    if failed:
        found.append(f"{len(failed)} of {len(data.runs)} runs did not end well; their status stands in the tables.")
    return found
