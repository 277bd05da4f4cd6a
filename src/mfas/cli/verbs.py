"""The verbs of their own: `mfas train`, `mfas predict` and so on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mfas._console import progress_bar, say, show
from mfas._extras import needs
from mfas.cli.options import AsJson, ConfigFile, Missing, ModelDir, Out, Overrides, Plugins, Seed, Workers, Yunet

app = typer.Typer(
    name="mfas",
    help="Multi-modal face anti-spoofing (RGB, depth, near infrared) that adapts safely where it is deployed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def demo(
    out: Out = None, seed: Seed = None, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False
) -> None:
    """Run the main job end to end on simulated sites and write report.html, results.json, scores.parquet."""
    with needs("mfas demo"):
        from mfas.benchmark.demo import DemoConfig, run_demo

        resolved = DemoConfig.resolve(config, overrides or (), {"out": out, "seed": seed})
        show(run_demo(resolved, say), json)


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
