"""Captures of a site to images, manifest and contact sheet, over any number of processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from mfas._files import write_json, write_text
from mfas.core import Label
from mfas.data.manifest import write_manifest
from mfas.errors import InputError
from mfas.simulation.heads import HeadSource
from mfas.simulation.heads.base import seed_of
from mfas.simulation.presentation import Capture, Plan, render_presentation, time_of
from mfas.simulation.sheet import contact_sheet
from mfas.simulation.site import Site
from mfas.simulation.version import SIMULATOR_VERSION

Progress = Callable[[int, int], None]
Row = dict[str, object]
_CHUNK = 24


def simulate(
    site: Site,
    *,
    count: int,
    seed: int,
    out: Path,
    head: HeadSource | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    captures_per_presentation: int | None = None,
) -> Path:
    """Render ``count`` captures of ``site`` into the folder ``out``; returns the path of ``manifest.parquet``.

    Writes ``rgb/``, ``depth/``, ``ir/`` (PNG), ``manifest.parquet``, ``contact_sheet.png``, ``site.yaml`` and
    ``simulation.json``. The bytes of a capture depend on (site, seed, index) alone, whatever ``workers`` is. An image
    that dropped out is an empty cell and no file; the column ``x_faults`` names what befell a capture.
    A ``head`` source that cannot serve attacks makes every presentation bona fide, of one person, in split ``test``.
    ``progress(done, total)`` is called after each batch of captures. Raises `InputError` for a count below 1.
    """
    if count < 1:
        raise InputError(f"expected a count of captures of 1 or more, got {count}")
    if workers < 1:
        raise InputError(f"expected 1 worker or more, got {workers}")
    if captures_per_presentation is not None:
        site = Site.model_validate({**site.model_dump(), "captures_per_presentation": captures_per_presentation})
    if head is not None and not head.serves_attacks:
        site = site.model_copy(update={"bona_fide_share": 1.0})
    rows: list[Row] = []
    for part in _batches(site, count, seed, out, head, workers):
        rows += part
        if progress is not None:
            progress(len(rows), count)
    path = out / "manifest.parquet"
    write_manifest(rows, path)
    contact_sheet(rows, out, out / "contact_sheet.png")
    write_text(out / "site.yaml", yaml.safe_dump(site.model_dump(mode="json"), sort_keys=False))
    facts = {"simulator": SIMULATOR_VERSION, "site": site.name, "seed": seed, "count": count}
    write_json(out / "simulation.json", {**facts, "head": head.name if head else "parametric"})
    return path


def _batches(
    site: Site, count: int, seed: int, out: Path, head: HeadSource | None, workers: int
) -> Iterator[list[Row]]:
    """Rows in index order, a batch at a time; a batch never cuts through a clip."""
    step = max(1, _CHUNK // site.captures_per_presentation) * site.captures_per_presentation
    ranges = [(start, min(start + step, count)) for start in range(0, count, step)]
    if workers == 1:
        for first, last in ranges:
            yield _render_range(site, seed, first, last, out, head)
        return
    # a head model is large: it travels once to each process, and keeps the people it has made there
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin, initargs=(site, head)) as pool:
        jobs = [pool.submit(_render_here, seed, first, last, out) for first, last in ranges]
        for job in jobs:
            yield job.result()


_HERE: list[tuple[Site, HeadSource | None]] = []


def _begin(site: Site, head: HeadSource | None) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)
    _HERE[:] = [(site, head)]


def _render_here(seed: int, first: int, last: int, out: Path) -> list[Row]:
    site, head = _HERE[0]
    return _render_range(site, seed, first, last, out, head)


def _render_range(site: Site, seed: int, first: int, last: int, out: Path, head: HeadSource | None) -> list[Row]:
    rows = []
    for index in range(first, last):
        number, frame = divmod(index, site.captures_per_presentation)
        plan, capture = render_presentation(site, seed, number, frame, head=head)
        if head is not None and not head.serves_attacks:
            plan = replace(plan, subject=f"{site.name}-{head.name}", split="test")
        name = f"{seed_of('capture', site.name, seed, plan.number, frame):016x}"
        rows.append(write_capture(site, name, plan, frame, capture, out))
    return rows


def write_capture(site: Site, name: str, plan: Plan, frame: int, capture: Capture, out: Path) -> Row:
    """Write the images of a capture as ``OUT/MODALITY/NAME.png``; returns its row of a manifest in ``out``."""
    files: dict[str, NDArray[Any]] = {"rgb": capture.rgb[..., ::-1], "depth": capture.depth, "ir": capture.ir}
    cells: Row = {}
    for modality, image in files.items():
        path = out / modality / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if modality in capture.missing:
            cells[modality] = ""
            path.unlink(missing_ok=True)
            continue
        cells[modality] = f"{modality}/{name}.png"
        _write_png(path, image)
    return {
        "capture_id": f"{site.name}-{name}",
        "presentation_id": plan.presentation_id,
        "subject": plan.subject,
        "presenter": plan.presenter,
        "session": plan.presentation_id,
        "site": site.name,
        "split": plan.split,
        "label": plan.label.value,
        "species": plan.species if plan.label is Label.ATTACK else "",
        **cells,
        "box": ",".join(str(v) for v in capture.box),
        "frame": frame,
        "timestamp": time_of(plan, frame),
        "depth_scale_m": site.depth.unit_mm / 1000,
        "depth_kind": "metric",
        "x_simulator": SIMULATOR_VERSION,
        "x_faults": ",".join(capture.faults),
    }


def _write_png(path: Path, image: NDArray[Any]) -> None:
    done, data = cv2.imencode(".png", np.ascontiguousarray(image), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:  # pragma: no cover - OpenCV encodes every array made here
        raise InputError(f"could not encode {path}")
    path.write_bytes(data.tobytes())
