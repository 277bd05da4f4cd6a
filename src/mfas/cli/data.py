"""`mfas data`: captures come in, are looked at, and are simulated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mfas._console import fail, progress_bar, show
from mfas._extras import needs
from mfas.cli.options import AsJson, ConfigFile, Out, Overrides, Seed, Workers, Yunet

data_app = typer.Typer(
    help="Captures: import, simulate, check, crop, audit.", no_args_is_help=True, rich_markup_mode=None
)


@data_app.command("simulate")
def data_simulate(
    site: Annotated[str | None, typer.Option("--site", help="Built-in site, random:NUMBER, or YAML file.")] = None,
    count: Annotated[int | None, typer.Option("--count", help="Number of captures.")] = None,
    seed: Seed = None,
    out: Out = None,
    head_model: Annotated[
        Path | None,
        typer.Option("--head-model", help="GLB scan, or the ICT face model (.npz or folder)."),
    ] = None,
    faults: Annotated[
        Path | None, typer.Option("--faults", help="YAML file of sensor faults, laid over the site's.")
    ] = None,
    workers: Workers = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Write captures of one simulated site: images, manifest.parquet, contact_sheet.png."""
    with needs("mfas data simulate"):
        from mfas.benchmark.data_runs import SimulateConfig, simulate_site

        given = {"site": site, "count": count, "seed": seed, "out": out, "workers": workers, "head_model": head_model}
        given["faults_file"] = faults
        resolved = SimulateConfig.resolve(config, overrides or (), given)
        with progress_bar("simulating", "captures") as advance:
            show(simulate_site(resolved, advance), json)


@data_app.command("import")
def data_import(
    name: Annotated[str, typer.Argument(help="Data set, such as casia_surf; a wrong one lists what there is.")],
    root: Annotated[Path, typer.Argument(help="Folder (or CSV) of the data set as it was received.")],
    out: Annotated[Path, typer.Option("--out", help="Manifest to write, .parquet or .csv.")],
    unknown_species: Annotated[
        str | None, typer.Option("--unknown-species", help="refuse (default) or keep: import them as 'unknown'.")
    ] = None,
    workers: Workers = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Read a public data set in its native folders: writes a manifest, and a table of what was skipped and why."""
    from mfas.data.importers.run import ImportConfig, import_set

    given = {"name": name, "root": root, "out": out, "unknown_species": unknown_species, "workers": workers}
    resolved = ImportConfig.resolve(config, overrides or (), given)
    with progress_bar("importing", "entries") as advance:
        show(import_set(resolved, advance), json)


@data_app.command("check")
def data_check(
    manifest: Annotated[Path, typer.Argument(help="Manifest, Parquet or CSV.")],
    decode: Annotated[bool, typer.Option(help="Read every image whole, not its header only.")] = True,
    json: AsJson = False,
) -> None:
    """Check a manifest: identities, splits, files, sizes, counts. Exit code 2 when something is wrong."""
    from mfas.data.check import check_manifest

    report = check_manifest(manifest, decode=decode, workers=2)
    show(report.to_dict(), json)
    if not report.ok:
        fail(f"{manifest}: {len(report.faults)} fault(s), the first: {report.faults[0]}")


@data_app.command("crop")
def data_crop(
    manifest: Annotated[Path, typer.Argument(help="Manifest, Parquet or CSV.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for crops and the new manifest.")],
    scale: Annotated[float | None, typer.Option(help="Side of the square over the box's longer one (1.3).")] = None,
    size: Annotated[int | None, typer.Option(help="Resize to this many pixels (default: as they are).")] = None,
    yunet: Yunet = None,
    workers: Workers = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Write face crops of a whole manifest once, and a manifest of the crops."""
    from mfas.benchmark.data_runs import CropConfig, crop

    given = {"manifest": manifest, "out": out, "scale": scale, "size": size, "yunet": yunet, "workers": workers}
    resolved = CropConfig.resolve(config, overrides or (), given)
    with progress_bar("cropping", "captures") as advance:
        show(crop(resolved, advance), json)


@data_app.command("audit")
def data_audit(
    manifest: Annotated[Path, typer.Argument(help="Manifest, Parquet or CSV.")],
    out: Out = None,
    workers: Workers = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Shortcuts that tell the classes apart, and what the sensors measure; writes NAME.audit beside the manifest."""
    from mfas.benchmark.audit_run import AuditConfig, audit
    from mfas.benchmark.audit_text import brief

    resolved = AuditConfig.resolve(config, overrides or (), {"manifest": manifest, "out": out, "workers": workers})
    with progress_bar("measuring", "captures") as advance:
        result = audit(resolved, advance)
    show(result if json else brief(result), json)


Victims = Annotated[
    list[Path] | None, typer.Option("--model", help="Model directory; may be repeated (default weights if none).")
]
Deltas = Annotated[
    list[Path] | None, typer.Option("--delta", help="Folder of a state adapted from such a model; may be repeated.")
]
