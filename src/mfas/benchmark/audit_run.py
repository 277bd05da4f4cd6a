"""`mfas data audit`: what besides the face tells the classes apart, and what the sensors measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from mfas._files import make_folder, write_json
from mfas.benchmark.sensors import FIGURES, REFERENCES, sensor_row
from mfas.benchmark.separation import Groups, separate
from mfas.config import Config, environment, write_resolved
from mfas.core import Label
from mfas.data.catalogue import STATISTICS, Statistic
from mfas.data.integrity import find_integrity
from mfas.data.manifest import Manifest, read_manifest
from mfas.data.measure import Column, Measured, measure_manifest
from mfas.errors import InputError
from mfas.report.audit_page import write_audit

_MOST_FAULTS = 100


class AuditConfig(Config):
    """Configuration of `mfas data audit`."""

    manifest: Path
    out: Path | None = Field(None, description="folder; None = NAME.audit beside the manifest")
    limit: float = Field(0.9, gt=0.5, le=1.0, description="AUC above which a statistic without a cause is a finding")
    min_per_class: int = Field(10, ge=2, description="presentations of a class below which no AUC is given")
    scale: float = Field(1.3, ge=0.5, le=4.0, description="side of the face crop over the longer side of the box")
    workers: int = Field(2, ge=1, le=256)


def audit(config: AuditConfig, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Audit a manifest; writes ``OUT/audit.json``, ``OUT/audit.html`` and ``OUT/config.json``, returns the first.

    Files that cannot be read are counted and named in the result. Raises `ManifestError` for a manifest that cannot be
    used and `InputError` for one without captures.
    """
    manifest = read_manifest(config.manifest)
    if not len(manifest):
        raise InputError(f"expected captures in {config.manifest}, got none")
    out = config.out or config.manifest.with_name(f"{config.manifest.stem}.audit")
    make_folder(out)
    measured = measure_manifest(manifest, scale=config.scale, workers=config.workers, progress=progress)
    integrity = [finding.to_dict() for finding in find_integrity(manifest, workers=config.workers, progress=progress)]
    result = judge(manifest, measured, config) | {"integrity": integrity, "page": str(out / "audit.html")}
    write_json(out / "audit.json", result)
    write_audit(result, out / "audit.html", command=f"mfas data audit {config.manifest.name}")
    write_resolved(config.model_copy(update={"out": out}), out, "data audit")
    return result


def judge(manifest: Manifest, measured: Measured, config: AuditConfig) -> dict[str, Any]:
    """The result of an audit from what was measured."""
    groups = Groups.of(manifest)
    statistics = [_statistic(item, measured.values[item.name], groups, config.min_per_class) for item in STATISTICS]
    findings = _above(statistics, config.limit)
    return {
        "manifest": str(config.manifest),
        "captures": len(manifest),
        "presentations": len(manifest.counts("presentation_id")),
        "labels": {label.value: int((manifest.column("label") == label.value).sum()) for label in Label},
        "limit": config.limit,
        "min_per_class": config.min_per_class,
        "findings": findings,
        "by_species": _above(statistics, config.limit, per_species=True),
        "notes": _notes(manifest, groups, statistics, findings, config.limit),
        "unreadable": {
            "count": len(measured.unreadable),
            "files": [str(fault) for fault in measured.unreadable[:_MOST_FAULTS]],
        },
        "statistics": statistics,
        "constants": {part.site: _constants(measured.values, part) for part in groups},
        "figures": {figure.name: figure.title for figure in FIGURES},
        "sensors": [sensor_row(measured.values, part) for part in groups],
        "references": list(REFERENCES),
        "environment": environment(),
    }


def _statistic(item: Statistic, values: Column, groups: list[Groups], least: int) -> dict[str, Any]:
    sites = {}
    for part in groups:
        species = {name: separate(values, part, least, name).to_dict() for name in part.species}
        sites[part.site] = separate(values, part, least).to_dict() | {"species": species}
    return {"name": item.name, "meaning": item.meaning, "unit": item.unit, "physical": item.physical, "sites": sites}


def _above(statistics: list[dict[str, Any]], limit: float, *, per_species: bool = False) -> list[dict[str, Any]]:
    """Statistics without a physical cause above the limit, worst first; ``per_species`` = those of one species only."""
    found = []
    for item in (item for item in statistics if not item["physical"]):
        for site, cell in item["sites"].items():
            if not per_species:
                found.append(_finding(item, site, "", cell))
            elif (cell["auc"] or 0.0) <= limit:
                found += [_finding(item, site, name, part) for name, part in cell["species"].items()]
    found = [entry for entry in found if entry["auc"] is not None and entry["auc"] > limit]
    return sorted(found, key=lambda entry: -float(entry["auc"]))


def _finding(item: dict[str, Any], site: str, species: str, cell: dict[str, Any]) -> dict[str, Any]:
    entry = {"site": site, "species": species, "statistic": item["name"], "auc": cell["auc"], "higher": cell["higher"]}
    return entry | {"sentence": "" if cell["auc"] is None else _sentence(item, site, species, cell)}


def _sentence(item: dict[str, Any], site: str, species: str, cell: dict[str, Any]) -> str:
    more = "bona fide have more" if cell["higher"] == Label.BONA_FIDE.value else "attacks have more"
    unit = f" {item['unit']}" if item["unit"] else ""
    return (
        f"{site}: {item['name']} ({item['meaning']}) alone tells bona fide from {species or 'attacks'} with an AUC of "
        f"{cell['auc']:.2f}: {more}, median {cell['median_bona_fide']:.4g}{unit} bona fide, "
        f"{cell['median_attack']:.4g}{unit} attacks."
    )


def _notes(
    manifest: Manifest, groups: list[Groups], statistics: list[dict[str, Any]], findings: list[Any], limit: float
) -> list[str]:
    """What a reader must know first, in plain sentences."""
    notes = []
    boxless = int((manifest.column("box") == "").sum())
    if boxless:
        notes.append(f"{boxless} captures have no face box: nothing is measured of their faces; see mfas data crop.")
    labelled = int((manifest.column("label") != "").sum())
    if not labelled:
        notes.append("No capture has a label: only the sensor table and the constants are given, over all captures.")
        return notes
    if labelled < len(manifest):
        notes.append(f"{len(manifest) - labelled} captures without a label take no part in the AUCs.")
    for part in groups:
        lacking = [n for mask, n in ((part.bona_fide, "bona fide"), (part.attack, "attack")) if not mask.any()]
        if lacking:
            notes.append(f"{part.site} has no {' and no '.join(lacking)} captures: no AUC can be given there.")
    nearest = _above(statistics, 0.0)
    if nearest and not findings:
        top = nearest[0]
        notes.append(
            f"No statistic without a physical cause exceeds an AUC of {limit:g} at any site; the nearest is "
            f"{top['statistic']} at {top['site']} with {top['auc']:.2f}."
        )
    return notes


def _constants(values: dict[str, Column], groups: Groups) -> dict[str, float]:
    """Statistics that are the same in every capture of a site that has them."""
    found = {}
    for name, column in values.items():
        known = column[groups.here & ~np.isnan(column)]
        if known.size > 1 and np.ptp(known) == 0:
            found[name] = float(known[0])
    return found
