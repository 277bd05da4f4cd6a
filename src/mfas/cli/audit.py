"""`mfas audit`: a model under attack, and the report on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mfas._console import progress_bar, show
from mfas._extras import needs
from mfas.cli.options import AsJson, ConfigFile, Missing, ModelDir, Out, Overrides, Seed

audit_app = typer.Typer(
    help="A model under attack: attack, search, steal, report.", no_args_is_help=True, rich_markup_mode=None
)

Victims = Annotated[
    list[Path] | None, typer.Option("--model", help="Model directory; may be repeated (default weights if none).")
]
Deltas = Annotated[
    list[Path] | None, typer.Option("--delta", help="Folder of a state adapted from such a model; may be repeated.")
]


@audit_app.command("attack")
def audit_attack(
    model: Victims = None,
    delta: Deltas = None,
    manifest: Annotated[Path | None, typer.Option("--manifest", help="Labelled captures.")] = None,
    out: Out = None,
    captures: Annotated[int | None, typer.Option("--captures", help="Attack captures to perturb (200).")] = None,
    seed: Seed = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Perturb attacks so that models take them for living faces; also in the stream of a model that learns."""
    with needs("mfas audit attack"):
        from mfas.benchmark.attack_config import AttackConfig
        from mfas.benchmark.attack_run import attack
        from mfas.benchmark.attack_text import brief_attack

        given: dict[str, Any] = {"model": model or None, "delta": delta or None, "manifest": manifest, "out": out}
        given |= {"captures": captures, "seed": seed}
        resolved = AttackConfig.resolve(config, overrides or (), given)
        with progress_bar("attacking", "attacks") as advance:
            result = attack(resolved, advance)
        show(result if json else brief_attack(result), json)


@audit_app.command("steal")
def audit_steal(
    model: Victims = None,
    delta: Deltas = None,
    manifest: Annotated[Path | None, typer.Option("--manifest", help="Labelled captures.")] = None,
    out: Out = None,
    seed: Seed = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Train clones of a model on its answers to queries, and measure what slows a thief down."""
    with needs("mfas audit steal"):
        from mfas.benchmark.attack_text import brief_steal
        from mfas.benchmark.steal_config import StealConfig
        from mfas.benchmark.steal_run import rob

        given = {"model": model or None, "delta": delta or None, "manifest": manifest, "out": out, "seed": seed}
        resolved = StealConfig.resolve(config, overrides or (), given)
        with progress_bar("stealing", "clones") as advance:
            result = rob(resolved, advance)
        show(result if json else brief_steal(result), json)


@audit_app.command("search")
def audit_search(
    model: ModelDir = None,
    delta: Annotated[Path | None, typer.Option("--delta", help="Folder of a state adapted from --model.")] = None,
    site: Annotated[str | None, typer.Option("--site", help="Built-in site, random:NUMBER, or YAML file.")] = None,
    species: Annotated[
        str | None, typer.Option("--species", help="Attacks to search, such as print_flat,mask_rigid (the site's).")
    ] = None,
    missing: Missing = None,
    budget: Annotated[int | None, typer.Option("--budget", help="Full renders for each species (200).")] = None,
    out: Out = None,
    seed: Seed = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Look for plausible simulated attacks that the model accepts; writes pictures, parameters and a manifest."""
    with needs("mfas audit search"):
        from mfas.benchmark.search_config import SearchConfig
        from mfas.benchmark.search_rows import brief
        from mfas.benchmark.search_run import audit_search as run

        given: dict[str, Any] = {"model": model, "delta": delta, "site": site, "species": species}
        given |= {"missing": missing, "budget": budget, "out": out, "seed": seed}
        resolved = SearchConfig.resolve(config, overrides or (), given)
        with progress_bar("searching", "species") as advance:
            result = run(resolved, advance)
        show(result if json else brief(result), json)


@audit_app.command("report")
def audit_report(
    model: ModelDir = None,
    part: Annotated[
        list[Path] | None,
        typer.Option("--part", help="evaluation.json, search.json, attack.json ...; may be repeated."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Page to write, .html.")] = None,
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Put the weaknesses found into the model's card.")
    ] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Gather what was measured of a model on one page to be signed, and say what was not measured."""
    from mfas.benchmark.assurance_run import AssuranceConfig, brief, report_assurance

    given = {"model": model, "part": part or None, "out": out, "write_card": write_card or None}
    result = report_assurance(AssuranceConfig.resolve(config, overrides or (), given))
    show(result if json else brief(result), json)
