"""Manifests of a protocol: every set imported once, and the target of a case with only what it may show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from mfas._files import make_folder, read_json, write_json
from mfas.benchmark.protocol_config import ProtocolRunConfig
from mfas.benchmark.sources import join_manifests
from mfas.config import parse
from mfas.core import Label
from mfas.data.importers.run import ImportConfig, import_set
from mfas.data.manifest import Manifest, read_manifest, rebase, write_manifest
from mfas.data.protocol import Case, Protocol
from mfas.errors import InputError

Advance = Callable[[int, int], None]


def import_all(config: ProtocolRunConfig, protocol: Protocol, advance: Advance | None = None) -> dict[str, Any]:
    """Import the sets of the chosen cases that are not there yet; returns their summaries by name.

    A summary has ``expected`` beside the counts of its splits where the protocol states the size of the lists.
    """
    found: dict[str, Any] = {}
    cases = config.chosen(protocol).values()
    for name in dict.fromkeys(s for case in cases for s in (*case.sources, *case.targets)):
        plan = protocol.sets[name]
        importing = _import_config(config, protocol, name)
        record = importing.out.with_suffix(".json")
        identity = importing.model_dump(mode="json")
        kept = read_json(record, "record of an import") if record.is_file() and importing.out.is_file() else {}
        if kept.get("config") == identity:
            found[name] = kept["summary"]
            continue
        summary = import_set(importing, advance)
        summary["expected"] = dict(plan.captures)
        write_json(record, {"config": identity, "summary": summary})
        found[name] = summary
    return found


def manifest_of(config: ProtocolRunConfig, name: str) -> Path:
    """Where the manifest of a set is."""
    return config.out / "manifests" / f"{name}.parquet"


def target_name(case: Case) -> str:
    """Name of a case's target in the benchmark; another than that of its source when both are parts of one set."""
    return "".join(case.targets) + ("_test" if case.within else "")


def write_target(config: ProtocolRunConfig, name: str, case: Case) -> Path:
    """The manifest of a case's target: its test list to be scored, and what a method may adapt to.

    That is the unlabelled train list of the target; of a set without one, copies of the test captures. The validation
    list of the target is left out: nobody may look at it.
    """
    site = target_name(case)
    parts = [_parts_of(read_manifest(manifest_of(config, target)), site) for target in case.targets]
    path = config.out / "manifests" / "targets" / f"{name}.parquet"
    make_folder(path.parent)
    joined = rebase(join_manifests(parts, require_labels=True), path.parent)
    if not path.is_file() or not read_manifest(path).table.equals(joined.table):
        write_manifest(joined, path)
    return path


def whole_stream(target: Path) -> dict[str, Any]:
    """Keys of a stream recipe that draw every presentation of the target's train list once, as it is mixed."""
    stream = read_manifest(target).filter(split="train")
    clips = dict(zip(stream.column("presentation_id").tolist(), stream.column("label").tolist(), strict=True))
    live = sum(label == Label.BONA_FIDE.value for label in clips.values())
    return {"captures": len(stream), "bona_fide_share": live / len(clips)}


def _parts_of(manifest: Manifest, site: str) -> Manifest:
    test = manifest.filter(split="test")
    if not len(test):
        raise InputError(f"expected captures in the test list of '{site}', got none")
    stream = manifest.filter(split="train")
    if not len(stream):
        stream = _copies(test)
    table = pa.concat_tables([stream.table, test.table]).combine_chunks()
    at = table.column_names.index("site")
    table = table.set_column(at, "site", pa.array([site] * len(table), pa.string()))
    return Manifest(table, manifest.root)


def _copies(test: Manifest) -> Manifest:
    """The captures again, under other names and in split ``train``."""
    table = test.table
    for name in ("capture_id", "presentation_id", "subject"):
        cells = [f"{cell}+" if cell else "" for cell in test.column(name).tolist()]
        table = table.set_column(table.column_names.index(name), name, pa.array(cells, pa.string()))
    split = pa.array(["train"] * len(test), pa.string())
    return Manifest(table.set_column(table.column_names.index("split"), "split", split), test.root)


def _import_config(config: ProtocolRunConfig, protocol: Protocol, name: str) -> ImportConfig:
    plan = protocol.sets[name]
    root = config.roots.get(name) or config.data_root / plan.importer
    fixed = {
        "name": plan.importer,
        "root": root if name in config.roots or root.is_dir() else config.data_root,
        "out": manifest_of(config, name),
        "site": name,
    }
    options = {**plan.options, **config.imports.get("options", {})}
    return parse(ImportConfig, {**config.imports, **fixed, "options": options}, "imports")
