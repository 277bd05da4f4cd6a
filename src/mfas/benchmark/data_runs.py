"""`mfas data simulate` and `mfas data crop`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field

from mfas.config import Config, write_resolved
from mfas.data.cropping import crop_manifest
from mfas.data.manifest import read_manifest


class SimulateConfig(Config):
    """Configuration of `mfas data simulate`. ``site`` is a built-in name or a YAML file."""

    site: str
    count: int = Field(ge=1, le=10_000_000)
    out: Path
    seed: int = Field(0, ge=0)
    workers: int = Field(1, ge=1, le=256)


def simulate_site(config: SimulateConfig, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Write captures of a site; returns counts and the manifest's path. Raises `ConfigError` for a wrong site."""
    from mfas.simulation import load_site, simulate

    site = load_site(config.site)
    path = simulate(
        site, count=config.count, seed=config.seed, out=config.out, workers=config.workers, progress=progress
    )
    write_resolved(config, config.out, "data simulate", site=site.model_dump(mode="json"))
    manifest = read_manifest(path)
    counts = {name: manifest.counts(name) for name in ("label", "species", "split")}
    return {"manifest": str(path), "captures": len(manifest), "subjects": len(manifest.subjects()), **counts}


def crop(
    manifest: Path,
    out: Path,
    *,
    scale: float,
    size: int | None,
    yunet: Path | None,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Crop a manifest; returns the new manifest's path and the captures without a face."""
    report = crop_manifest(
        read_manifest(manifest), out, scale=scale, size=size, yunet=yunet, workers=workers, progress=progress
    )
    lost = [{"capture_id": item.capture_id, "reason": item.reason} for item in report.no_face]
    return {"manifest": str(report.path), "captures": report.captures, "no_face": lost}
