"""Several manifests as one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from mfas.data.manifest import Manifest, read_manifest, rebase


def read_sources(paths: Iterable[Path], *, require_labels: bool = False) -> Manifest:
    """Read manifests and join them; identities are checked over the whole (a subject may not change split)."""
    parts = [read_manifest(path, require_labels=require_labels) for path in paths]
    return join_manifests(parts, require_labels=require_labels)


def join_manifests(parts: list[Manifest], *, require_labels: bool = False) -> Manifest:
    """All captures of ``parts``, in order; one part alone is returned as it is. Raises `ManifestError`."""
    if len(parts) == 1:
        return parts[0]
    root = Path.cwd().resolve()
    tables = [rebase(part, root).table for part in parts]
    joined = pa.concat_tables(tables, promote_options="default").combine_chunks()
    return Manifest.from_table(joined, root, require_labels=require_labels, origin="joined manifests")
