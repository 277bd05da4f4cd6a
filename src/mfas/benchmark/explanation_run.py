"""`mfas explain`: one capture, files to a decision and what it rests on, as numbers and as a page."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import Any

from PIL import Image
from pydantic import Field

from mfas._files import make_folder, sha256, write_json
from mfas.adaptation.saving import deploy
from mfas.benchmark.prediction_run import PredictConfig, decided, non_response, read_files
from mfas.benchmark.source_means import manifest_source_mean
from mfas.card import CARD_FILE, ONNX_FILE, WEIGHTS_FILE, Card
from mfas.config import environment, write_resolved
from mfas.core import CaptureIds, Label, Modality
from mfas.data.capture import NoFace
from mfas.data.dataset import collate
from mfas.data.preprocess import Capture, face_crop, preprocess
from mfas.errors import ModelDirError
from mfas.explain.empty import zero_maps
from mfas.explain.explain import Explanation, explain
from mfas.explain.record import EmptyValue
from mfas.explain.settings import ExplainSettings
from mfas.models.contract import FasModel
from mfas.models.families import load_families, predict_with_families
from mfas.models.store import load_model
from mfas.report import write_explanation
from mfas.weights import default_directory

PAGE, RECORD = "explanation.html", "explanation.json"


class ExplainConfig(PredictConfig):
    """Configuration of `mfas explain`: that of `mfas predict`, and what follows.

    ``baseline`` is a manifest of source captures: the model's logit on their mean features is the value of no modality
    (default: the card's own; without one, zero features).
    """

    out: Path
    baseline: Path | None = None
    explain: ExplainSettings = ExplainSettings()
    seed: int = Field(0, ge=0)


def explain_files(config: ExplainConfig) -> dict[str, Any]:
    """Decide as `predict` does, explain, write ``OUT/explanation.json`` and ``OUT/explanation.html``.

    Returns the JSON-safe answer of `predict` with ``explanation`` (`mfas.explain.record.Attribution`); a capture
    without a face is a non-response, and has neither explanation nor page. Raises what `predict` raises, and
    `ModelDirError` for a directory that holds a graph only.
    """
    directory = config.model or default_directory()
    model, card = _model(directory, config.delta)
    heads = load_families(model, card, directory)
    capture, common = read_files(config, card)
    make_folder(config.out)
    write_resolved(config, config.out, "explain")
    facts = {"environment": environment(), "seed": config.seed, "settings": config.explain.model_dump(mode="json")}
    if isinstance(capture, NoFace):
        result = non_response(capture, common)
        (config.out / PAGE).unlink(missing_ok=True)  # of another capture
        write_json(config.out / RECORD, {**result, **facts})
        return result
    planes = preprocess(capture, card.preprocess)
    batch = collate([planes], CaptureIds.anonymous(1), card.preprocess)
    answer = predict_with_families(model, heads, batch)
    verdict = decided(answer, planes, capture, card, common, sha256(directory / CARD_FILE))
    empty = _empty(model, card, config)
    start = perf_counter()
    accepted = verdict["decision"] == Label.BONA_FIDE.value
    made = explain(model, batch, empty, accepted=accepted, settings=config.explain, seed=config.seed)
    result = {**verdict, "explanation": made.record.to_dict(), "seconds": perf_counter() - start}
    result["page"] = str(config.out / PAGE)
    write_json(config.out / RECORD, {**result, **facts, "maps": _cells(made)})
    write_explanation({**result, **facts}, _pictures(capture, card), made.maps, config.out / PAGE)
    return result


def _model(directory: Path, delta: Path | None) -> tuple[FasModel, Card]:
    if (directory / ONNX_FILE).is_file() and not (directory / WEIGHTS_FILE).is_file():
        raise ModelDirError(
            f"{directory}: expected {WEIGHTS_FILE}, got an exported graph only, which gives no gradients: "
            "an explanation needs the model it was exported from"
        )
    model, card = load_model(directory)
    if delta is not None:
        deploy(model, delta, {"model": sha256(directory / CARD_FILE)})
    return model, card


def _empty(model: FasModel, card: Card, config: ExplainConfig) -> EmptyValue:
    """What the configuration names, else the card's, else zero features; a card's is not that of an adapted state."""
    found = card.source_mean if config.delta is None else None
    if config.baseline is not None:
        found = manifest_source_mean(model, card, config.baseline, config.yunet)
    if found is None:
        return zero_maps(model, card.modalities)
    return EmptyValue(found.logit, "source_mean", found.captures, found.sources)


def _cells(made: Explanation) -> dict[str, list[list[float]]]:
    return {m.value: [[round(float(x), 5) for x in row] for row in cells] for m, cells in made.maps.items()}


def _pictures(capture: Capture, card: Card) -> dict[Modality, bytes]:
    """PNG of what the network was shown of each sensor, in the sensor's own pixels."""
    found = {}
    for m in capture.images:
        buffer = BytesIO()
        Image.fromarray(face_crop(capture, m, card.preprocess.crop_scale, None)).save(buffer, format="PNG")
        found[m] = buffer.getvalue()
    return found
