"""`mfas data simulate` and `mfas data crop`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mfas._files import make_folder
from mfas.config import Config, parse, read_yaml, write_resolved
from mfas.data.cropping import crop_manifest
from mfas.data.manifest import read_manifest
from mfas.errors import ConfigError, InputError

if TYPE_CHECKING:
    from mfas.simulation import Site


class SimulateConfig(Config):
    """Configuration of `mfas data simulate`. ``site`` is a built-in name, ``random:N``, or a YAML file."""

    site: str
    count: int = Field(ge=1, le=10_000_000)
    out: Path
    seed: int = Field(0, ge=0)
    workers: int = Field(1, ge=1, le=256)
    head_model: Path | None = Field(None, description="GLB file of a scanned head, or the ICT face model")
    faults_file: Path | None = Field(None, description="YAML file with a `faults` section that is laid over the site's")
    faults: dict[str, Any] = Field(default_factory=dict, description="keys of `faults`, laid over both")
    head_texture: Path | None = Field(None, description="a scan's picture; default: color.jpg or NAME.jpg beside it")


class CropConfig(Config):
    """Configuration of `mfas data crop`. ``size`` None = crops keep the resolution of their source."""

    manifest: Path
    out: Path
    scale: float = Field(1.3, ge=0.5, le=4.0)
    size: int | None = Field(None, ge=16, le=4096)
    yunet: Path | None = None
    workers: int = Field(2, ge=1, le=256)


def simulate_site(config: SimulateConfig, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Write captures of a site; returns counts and the manifest's path.

    Raises `ConfigError` for a wrong site, `InputError` for a head model or an ``out`` that cannot be used.
    """
    from mfas.simulation import load_site, open_head, simulate

    site = _with_faults(load_site(config.site), config)
    head = open_head(config.head_model, config.head_texture) if config.head_model is not None else None
    make_folder(config.out)
    path = simulate(
        site,
        count=config.count,
        seed=config.seed,
        out=config.out,
        head=head,
        workers=config.workers,
        progress=progress,
    )
    resolved = config.model_copy(update={"faults": site.faults.model_dump(mode="json")})
    write_resolved(resolved, config.out, "data simulate", site=site.model_dump(mode="json"))
    manifest = read_manifest(path)
    counts = {name: manifest.counts(name) for name in ("label", "species", "split")}
    return {"manifest": str(path), "captures": len(manifest), "subjects": len(manifest.subjects()), **counts}


def _with_faults(site: Site, config: SimulateConfig) -> Site:
    """The site with the faults of ``faults_file`` and then of ``faults`` laid over its own, key by key."""
    from mfas.simulation.faults import Faults

    layers: list[tuple[str, dict[str, Any]]] = [("faults", config.faults)]
    if config.faults_file is not None:
        section = read_yaml(config.faults_file)
        inner = section["faults"] if set(section) == {"faults"} else section
        if not isinstance(inner, dict):
            raise ConfigError(f"expected a mapping of faults in {config.faults_file}, got {type(inner).__name__}")
        layers.insert(0, (str(config.faults_file), inner))
    faults = site.faults
    for origin, values in layers:
        faults = faults.updated(parse(Faults, values, origin))
    return site.model_copy(update={"faults": faults})


def crop(config: CropConfig, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Crop a manifest; returns the new manifest's path and the captures without a face."""
    manifest = read_manifest(config.manifest)
    if not len(manifest):
        raise InputError(f"expected captures in {config.manifest}, got none")
    if (config.out / "manifest.parquet").resolve() == config.manifest.resolve():
        raise InputError(
            f"expected another folder for the crops, got that of {config.manifest}, which they would replace"
        )
    make_folder(config.out)
    report = crop_manifest(
        manifest,
        config.out,
        scale=config.scale,
        size=config.size,
        yunet=config.yunet,
        workers=config.workers,
        progress=progress,
    )
    write_resolved(config, config.out, "data crop")
    lost = [{"capture_id": item.capture_id, "reason": item.reason} for item in report.no_face]
    return {"manifest": str(report.path), "captures": report.captures, "no_face": lost}
