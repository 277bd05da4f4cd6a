"""What a stealing audit found, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Told = tuple[str, bool]
"""A sentence, and whether it tells a weakness."""

STOLEN = 0.1
"""Agreement beyond chance from which a clone has something of the model."""
MOVED = 0.01
"""Rise of an error rate from which a thief has moved a model that learns."""
WRONG_ALARMS = 0.1
"""Share of benign windows taken for a thief's that is worth a sentence in a card."""


def steal_findings(result: Mapping[str, Any]) -> list[str]:
    """Sentences model by model: how much was stolen, what defences did, whether the victim changed."""
    return [sentence for sentence, _ in _told(result)]


def steal_weaknesses(result: Mapping[str, Any]) -> list[str]:
    """Those of `steal_findings` that a card should say: what was stolen, was not noticed, or moved the model."""
    return [sentence for sentence, weak in _told(result) if weak]


def _told(result: Mapping[str, Any]) -> Iterator[Told]:
    for model in result["models"]:
        name = model["name"]
        rows = [row for row in result["clones"] if row["victim"] == name]
        yield from _clones(name, rows)
        yield from _defences(name, rows)
        yield from _detector(name, rows, next(one for one in result["detectors"] if one["victim"] == name))
        yield from _learners(name, rows)


def _clones(name: str, rows: list[dict[str, Any]]) -> Iterator[Told]:
    plain = [row for row in rows if not row["defence"]]
    for count in dict.fromkeys(row["queries"] for row in plain):
        best = max((row for row in plain if row["queries"] == count), key=lambda row: float(row["agreement"]))
        worth = (
            ""
            if best["transfer"] is None
            else (
                f"; attacks perturbed on it are accepted in {_percent(best['transfer'])}, unperturbed in "
                f"{_percent(best['transfer_clean'])}, perturbed on the model itself in {_percent(best['white_box'])}"
            )
        )
        yield (
            f"{name}: {count} queries give a clone that decides alike in {_percent(best['agreement'])} of captures "
            f"(by chance {_percent(best['by_chance'])}; strategy '{best['strategy']}', answers '{best['answers']}')"
            f"{worth}.",
            best["agreement"] - best["by_chance"] >= STOLEN,
        )


def _defences(name: str, rows: list[dict[str, Any]]) -> Iterator[Told]:
    most = max(row["queries"] for row in rows)
    last = [row for row in rows if row["queries"] == most]
    for row in (row for row in last if row["defence"] in ("rate limit", "detector")):
        yield (
            f"{name}: with the defence '{row['defence']}' {row['asked']} of {most} queries are answered, "
            f"agreement {_percent(row['agreement'])}.",
            False,
        )


def _detector(name: str, rows: list[dict[str, Any]], facts: dict[str, Any]) -> Iterator[Told]:
    plain = [row for row in rows if not row["defence"]]
    unseen = sorted({row["strategy"] for row in plain if row["alarm"] is None})
    told = f"it never noticed {', '.join(unseen)}" if unseen else "every strategy set it off"
    yield (
        f"{name}: the detector takes {_percent(facts['false_alarms'])} of {facts['benign_windows']} benign windows "
        f"for a thief's; {told}.",
        bool(unseen) or facts["false_alarms"] > WRONG_ALARMS,
    )


def _learners(name: str, rows: list[dict[str, Any]]) -> Iterator[Told]:
    for row in (row for row in rows if row["defence"].startswith("learning")):
        before, after = row["victim_before"], row["victim_after"]
        how = ", guarded," if "guarded" in row["defence"] else ""
        yield (
            f"{name}: learning from {row['asked']} queries{how} it made {row['updates']} updates; clean APCER "
            f"{_percent(before['apcer'])} became {_percent(after['apcer'])}, BPCER {_percent(before['bpcer'])} became "
            f"{_percent(after['bpcer'])}; agreement {_percent(row['agreement'])}.",
            any(after[key] - before[key] > MOVED for key in ("apcer", "bpcer")),
        )


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f} %"
