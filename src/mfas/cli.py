"""The command line: one verb, one plain function. Everything heavy is imported inside the verb that needs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from mfas._console import progress_bar, say, show
from mfas._extras import needs
from mfas.errors import MfasError
from mfas.service.verbs import keys_app, ledger_app, store_app

app = typer.Typer(
    name="mfas",
    help="Multi-modal face anti-spoofing (RGB, depth, near infrared) that adapts safely where it is deployed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(
    help="Captures: import, simulate, check, crop, audit.", no_args_is_help=True, rich_markup_mode=None
)
audit_app = typer.Typer(
    help="A model under attack: attack, search, steal, report.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(data_app, name="data")
app.add_typer(audit_app, name="audit")
app.add_typer(ledger_app, name="ledger")
app.add_typer(keys_app, name="keys")
app.add_typer(store_app, name="store")

ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML file with the verb's configuration.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="key=value, dotted keys; may be repeated.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder or file to write.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Makes the run repeatable.")]
ModelDir = Annotated[
    Path | None,
    typer.Option("--model", help="Model directory (predict, explain, score, adapt: default weights if none)."),
]
Missing = Annotated[str | None, typer.Option("--missing", help="Modalities to take away, such as depth,ir.")]
Yunet = Annotated[
    Path | None, typer.Option("--yunet", help="YuNet ONNX file for face detection (default: LBP cascade).")
]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python file that registers methods; may be repeated.")
]
Workers = Annotated[int | None, typer.Option("--workers", help="Parallel workers.")]


@app.command()
def demo(
    out: Out = None, seed: Seed = None, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False
) -> None:
    """Run the main job end to end on simulated sites and write report.html, results.json, scores.parquet."""
    with needs("mfas demo"):
        from mfas.benchmark.demo import DemoConfig, run_demo

        resolved = DemoConfig.resolve(config, overrides or (), {"out": out, "seed": seed})
        show(run_demo(resolved, say), json)


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


@app.command()
def train(
    manifest: Annotated[list[Path] | None, typer.Option("--manifest", help="Source manifest; may be repeated.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Model to train, such as mfas_danet.")] = None,
    out: Out = None,
    seed: Seed = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a training that was stopped in --out.")] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Train on labelled source manifests; thresholds come from their validation split."""
    with needs("mfas train"):
        from mfas.benchmark.training_run import TrainConfig
        from mfas.benchmark.training_run import train as run

        given = {"manifest": manifest or None, "model": model, "out": out, "seed": seed}
        resolved = TrainConfig.resolve(config, overrides or (), given)
        with progress_bar("training", "epochs") as advance:
            result = run(resolved, lambda record: advance(record.epoch + 1, resolved.loop.epochs), resume=resume)
        if result:  # further processes of one training have nothing to say
            show(result, json)


@app.command()
def adapt(
    model: ModelDir = None,
    manifest: Annotated[Path | None, typer.Option("--manifest", help="Target manifest; labels are not needed.")] = None,
    method: Annotated[str | None, typer.Option("--method", help="Method, such as mfas_danet+anchor.")] = None,
    missing: Missing = None,
    out: Out = None,
    seed: Seed = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run in --out.")] = False,
    plugin: Plugins = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Score an unlabelled stream in arrival order and learn from it; writes scores, steps and the adapted state."""
    with needs("mfas adapt"):
        from mfas.benchmark.adaptation_run import AdaptConfig
        from mfas.benchmark.adaptation_run import adapt as run

        given = {"model": model, "manifest": manifest, "method": method, "missing": missing, "out": out, "seed": seed}
        resolved = AdaptConfig.resolve(config, overrides or (), {**given, "plugins": plugin or None})
        with progress_bar("adapting", "captures") as advance:
            show(run(resolved, resume=resume, progress=advance), json)


@app.command()
def predict(
    model: ModelDir = None,
    delta: Annotated[Path | None, typer.Option("--delta", help="Folder of a state adapted from --model.")] = None,
    rgb: Annotated[Path | None, typer.Option("--rgb", help="RGB image.")] = None,
    depth: Annotated[Path | None, typer.Option("--depth", help="16-bit depth image.")] = None,
    ir: Annotated[Path | None, typer.Option("--ir", help="Near-infrared image.")] = None,
    box: Annotated[str | None, typer.Option("--box", help="x,y,w,h in RGB pixels, or full.")] = None,
    depth_scale_m: Annotated[float | None, typer.Option("--depth-scale-m", help="Metres per depth unit.")] = None,
    yunet: Yunet = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Decide on one capture: find the face, crop, score. No face is a non-response, never a guess.

    Without --model the default weights decide. They were trained on simulated captures only.
    """
    with needs("mfas predict"):
        from mfas.benchmark.prediction_run import PredictConfig
        from mfas.benchmark.prediction_run import predict as run

        files = {"model": model, "delta": delta, "rgb": rgb, "depth": depth, "ir": ir}
        given = {**files, "box": box, "depth_scale_m": depth_scale_m, "yunet": yunet}
        show(run(PredictConfig.resolve(config, overrides or (), given)), json)


@app.command()
def explain(
    model: ModelDir = None,
    out: Out = None,
    delta: Annotated[Path | None, typer.Option("--delta", help="Folder of a state adapted from --model.")] = None,
    rgb: Annotated[Path | None, typer.Option("--rgb", help="RGB image.")] = None,
    depth: Annotated[Path | None, typer.Option("--depth", help="16-bit depth image.")] = None,
    ir: Annotated[Path | None, typer.Option("--ir", help="Near-infrared image.")] = None,
    box: Annotated[str | None, typer.Option("--box", help="x,y,w,h in RGB pixels, or full.")] = None,
    depth_scale_m: Annotated[float | None, typer.Option("--depth-scale-m", help="Metres per depth unit.")] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="Manifest of source captures, for the value of no modality.")
    ] = None,
    yunet: Yunet = None,
    seed: Seed = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Decide on one capture as predict does, and show which sensors and places the verdict rests on, on a page.

    Without --model the default weights decide. They were trained on simulated captures only.
    """
    with needs("mfas explain"):
        from mfas.benchmark.explanation_run import ExplainConfig, explain_files

        files = {"model": model, "delta": delta, "rgb": rgb, "depth": depth, "ir": ir, "baseline": baseline}
        given = {**files, "box": box, "depth_scale_m": depth_scale_m, "yunet": yunet, "seed": seed, "out": out}
        show(explain_files(ExplainConfig.resolve(config, overrides or (), given)), json)


@app.command()
def score(
    manifest: Annotated[Path | None, typer.Option("--manifest", help="Captures to score; no labels needed.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Score table to write, .parquet.")] = None,
    model: ModelDir = None,
    missing: Missing = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Captures per pass through the network (32).")] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes (default: one per core).")] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="fp32 (default) or int8.")] = None,
    records: Annotated[
        Path | None, typer.Option("--records", help="Decision records to write beside the table, .jsonl.")
    ] = None,
    yunet: Yunet = None,
    ray: Annotated[
        str | None, typer.Option("--ray", help="Score on Ray: local, auto, or the address of a cluster.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Score a whole manifest with an exported model, without torch; the same command goes on after a stop."""
    with needs("mfas score"):
        from mfas.benchmark.scoring_run import ScoreConfig
        from mfas.benchmark.scoring_run import score as run

        given = {"manifest": manifest, "out": out, "model": model, "missing": missing, "batch": batch}
        given |= {"workers": workers, "precision": precision, "yunet": yunet, "ray": ray, "records": records}
        resolved = ScoreConfig.resolve(config, overrides or (), given)
        with progress_bar("scoring", "captures") as advance:
            show(run(resolved, advance), json)


@app.command()
def families(
    manifest: Annotated[
        list[Path] | None, typer.Option("--manifest", help="Labelled captures; may be repeated.")
    ] = None,
    model: ModelDir = None,
    out: Out = None,
    seed: Seed = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Give a trained model attack-family heads, which say what kind of attack a capture would be; no score changes."""
    with needs("mfas families"):
        from mfas.benchmark.families_run import FamiliesConfig, add_families

        given = {"manifest": manifest, "model": model, "out": out, "seed": seed}
        show(add_families(FamiliesConfig.resolve(config, overrides or (), given)), json)


@app.command()
def export(
    model: ModelDir = None,
    out: Out = None,
    delta: Annotated[Path | None, typer.Option("--delta", help="Folder of a state adapted from --model.")] = None,
    int8: Annotated[
        Path | None, typer.Option("--int8", help="Manifest to calibrate a second graph in eight bits on.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Write a model as ONNX, for devices without torch, and check that both give the same scores."""
    with needs("mfas export"):
        from mfas.benchmark.export_run import ExportConfig
        from mfas.benchmark.export_run import export as run

        given = {"model": model, "out": out, "delta": delta, "int8": int8}
        show(run(ExportConfig.resolve(config, overrides or (), given)), json)


@app.command()
def evaluate(
    scores: Annotated[Path, typer.Argument(help="Score table: CSV or Parquet with label, species, score.")],
    threshold: Annotated[float | None, typer.Option(help="Operating threshold in [0, 1].")] = None,
    dev: Annotated[Path | None, typer.Option(help="Development scores; threshold = their equal-error point.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder (default: NAME.evaluation beside the scores).")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """ISO/IEC 30107-3 figures with intervals from anyone's scores, as JSON and HTML."""
    from mfas.benchmark.evaluation_run import EvaluateConfig, brief, evaluate_scores

    folder = out or scores.with_name(f"{scores.stem}.evaluation")
    given: dict[str, Any] = {"scores": scores, "threshold": threshold, "dev": dev, "out": folder}
    result = evaluate_scores(EvaluateConfig.resolve(config, overrides or (), given))
    show(result if json else brief(result), json)


@app.command()
def benchmark(
    out: Out = None,
    data_root: Annotated[
        Path | None, typer.Option("--data-root", help="Folder of public data sets; --config is then a protocol.")
    ] = None,
    workers: Workers = None,
    fresh: Annotated[
        list[str] | None, typer.Option("--fresh", help="Row of the tables to compute anew; may be repeated.")
    ] = None,
    plugin: Plugins = None,
    ray: Annotated[
        str | None, typer.Option("--ray", help="Run cells on Ray: local, auto, or the address of a cluster.")
    ] = None,
    list_streams: Annotated[bool, typer.Option("--list-streams", help="Name the built-in streams and stop.")] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Compare methods over targets, models, missing patterns and streams; continues where an earlier run ended."""
    with needs("mfas benchmark"):
        if data_root is not None:
            from mfas.benchmark.protocol_config import ProtocolRunConfig
            from mfas.benchmark.protocol_run import run_protocol

            planned, protocol = ProtocolRunConfig.resolve_file(
                config, overrides or (), {"out": out, "workers": workers, "data_root": data_root}
            )
            with progress_bar("protocol", "jobs") as advance:
                show(run_protocol(planned, protocol, advance), json)
            return
        from mfas.benchmark.bench import run_bench
        from mfas.benchmark.bench_config import BenchConfig
        from mfas.benchmark.stream_recipe import descriptions

        if list_streams:
            show(descriptions(), json)
            return
        given = {"out": out, "workers": workers, "plugins": plugin or None, "ray": ray}
        resolved = BenchConfig.resolve(config, overrides or (), given)
        with progress_bar("benchmark", "jobs") as advance:
            show(run_bench(resolved, advance, say, fresh or ()), json)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder that mfas adapt wrote.")],
    manifest: Annotated[Path | None, typer.Option("--manifest", help="Labels, where the run has none.")] = None,
    source: Annotated[
        Path | None, typer.Option("--source", help="Run of method source over the same captures.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Page to write (default: report.html in the run).")] = None,
    model: ModelDir = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Show one adapted stream on a page: loss weight, evidence, updates, skips, guards, and the error beside source."""
    from mfas.benchmark.stream_report import StreamReportConfig, report_stream

    given = {"run": run, "manifest": manifest, "source": source, "model": model, "out": out or run / "report.html"}
    show(report_stream(StreamReportConfig.resolve(config, overrides or (), given)), json)


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on (default: this machine only).")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port; 0 = any that is free.")] = None,
    database: Annotated[
        str | None, typer.Option("--database", help="sqlite:///FILE or postgresql://USER@HOST/NAME.")
    ] = None,
    model: ModelDir = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Serve decisions over HTTP until told to stop. Without --model the default weights decide."""
    with needs("mfas serve"):
        from mfas.service.serving import serve as run
        from mfas.service.settings import ServeConfig

        given = {"host": host, "port": port, "database": database, "model": model}
        run(ServeConfig.resolve(config, overrides or (), given))


@app.command()
def client(
    url: Annotated[
        str | None, typer.Option("--url", help="Where the service is, such as http://127.0.0.1:8000.")
    ] = None,
    site: Annotated[str | None, typer.Option("--site", help="Site whose captures these are.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", envvar="MFAS_KEY", help="API key; better given as MFAS_KEY.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option("--manifest", help="Manifest, or folder of images to score by themselves.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Score table to write, Parquet or CSV.")] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Have a running service score captures, several at one time, and write a score table."""
    with needs("mfas client"):
        from mfas.service.client import ClientConfig
        from mfas.service.client import score as run

        given = {"url": url, "site": site, "key": key, "manifest": manifest, "out": out}
        with progress_bar("scoring", "captures") as advance:
            show(run(ClientConfig.resolve(config, overrides or (), given), advance), json)


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


_UsageError: Any = typer.BadParameter.__mro__[1]
"""A wrong option or argument; typer does not name this class in the same place in every version."""


def _refuse(error: Any) -> NoReturn:
    sentence = error.format_message().strip().rstrip(".")
    if "\n" in sentence:  # the help text, for a command line that names nothing
        error.show()
        raise SystemExit(2)
    path = error.ctx.command_path if error.ctx else "mfas"
    fail(f"{sentence[:1].lower()}{sentence[1:]}; see {path} --help")


def fail(sentence: str) -> NoReturn:
    """Print one sentence on standard error and exit with code 2."""
    sys.stderr.write(f"mfas: {sentence}\n")
    raise SystemExit(2)


def main() -> None:
    """Entry point: errors a user can meet become one sentence and exit code 2."""
    try:
        code = app(prog_name="mfas", standalone_mode=False)
    except MfasError as error:
        fail(str(error))
    except _UsageError as error:
        _refuse(error)
    except KeyboardInterrupt:
        sys.stderr.write("mfas: interrupted\n")
        raise SystemExit(130) from None
    raise SystemExit(code if isinstance(code, int) else 0)
