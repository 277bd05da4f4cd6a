"""A person in two splits of a published list: dropped there, or kept under a name of each split, never unseen."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from mfas.data.importers.contract import Skip, Where

Rows = list[dict[str, Any]]


def separate_subjects(rows: Rows, *, keep: bool) -> tuple[Rows, list[Skip]]:
    """Rows in which no subject and no presentation has two splits.

    The split with most of a subject's captures is theirs. Their other captures are dropped and told, or (``keep``)
    get the subject ``NAME@SPLIT``; the native name stays in ``x_subject``, where the audit finds it.
    """
    homes = _homes(rows)
    kept: Rows = []
    skips: list[Skip] = []
    for row in rows:
        home = homes.get(row["subject"], row["split"])
        if row["split"] == home:
            kept.append(row)
        elif keep:
            kept.append({**row, "subject": f"{row['subject']}@{row['split']}"})
        else:
            reason = f"subject '{row['x_subject']}' is in split '{home}' too, where most of their captures are"
            skips.append(Skip(Where(*row["where"]), "subject", reason))
    return kept, skips


def _homes(rows: Rows) -> dict[str, str]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row["subject"]:
            counts[row["subject"]][row["split"]] += 1
    return {subject: found.most_common(1)[0][0] for subject, found in counts.items() if len(found) > 1}
