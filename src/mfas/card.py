"""The model card: everything a set of weights needs beside itself, as one frozen record written to ``card.json``.

Preprocessing derives from `Preprocess`, so crops and scaling cannot drift between training, export and service.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from mfas._files import read_json, sha256, write_json
from mfas.config import Config, parse
from mfas.core import MISSING_PATTERNS, MODALITIES, Family, Modality
from mfas.errors import ModelDirError

CARD_FILE = "card.json"
WEIGHTS_FILE = "model.safetensors"
ONNX_FILE = "model.onnx"
INT8_FILE = "model.int8.onnx"
FAMILIES_FILE = "families.safetensors"


class Preprocess(Config):
    """How pixels become network input. Units and ranges stand with each field.

    `size` pixels, square. `crop_scale`: side of the square crop over the longer side of the face box. RGB: value / 255,
    minus `rgb_mean`, over `rgb_std` per channel, channel order RGB. Depth: metres relative to a robust centre of the
    face, over `depth_clip_m`, clipped to [-1, 1] (positive = behind the centre), with a second channel that is 1 where
    the sensor measured and 0 in holes. IR: divided by its `ir_percentile` over the face's middle, clipped to
    [0, `ir_clip`], then shifted and scaled by `ir_mean`, `ir_std`.
    """

    size: int = Field(112, ge=32, le=512)
    crop_scale: float = Field(1.3, ge=0.5, le=4.0)
    channel_order: Literal["rgb"] = "rgb"
    rgb_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    rgb_std: tuple[float, float, float] = (0.25, 0.25, 0.25)
    depth_clip_m: float = Field(0.15, gt=0, le=2.0)
    depth_near_m: float = Field(0.1, gt=0)
    depth_far_m: float = Field(10.0, gt=0)
    ir_percentile: float = Field(75.0, gt=0, le=100)
    ir_clip: float = Field(2.0, gt=0)
    ir_mean: float = 0.7
    ir_std: float = Field(0.4, gt=0)

    def channels(self, modality: Modality) -> int:
        """Channels a network sees: RGB 3, depth 2 (relative depth, validity), IR 1."""
        return {Modality.RGB: 3, Modality.DEPTH: 2, Modality.IR: 1}[modality]


class ReliabilityBlock(Config):
    """Accepted captures of source validation whose raw reliability is at least ``low``, up to the next block's.

    ``claim`` is the share of right pseudo labels that they are at least good for: a lower bound, with ``right`` of
    ``count`` presentations behind it.
    """

    low: float = Field(ge=0, le=1)
    claim: float = Field(ge=0, le=1)
    right: int = Field(ge=0)
    count: int = Field(ge=1)


class GateEvidence(Config):
    """How the evidence gate did on source validation (`docs/methods/mfas_danet.md`, "Calibrated reliability").

    ``gate`` are the gate settings that all of it was measured with. ``curves[missing][label]`` are blocks in ascending
    order, for captures that lack exactly ``missing`` and were accepted as ``label``. ``quantiles`` hold 21 values each,
    at 0, 5, ..., 100 per cent, over captures with all sensors whose decision was right: ``entropy``, ``vote``,
    ``dissent``.
    """

    gate: dict[str, Any] = Field(default_factory=dict)
    curves: dict[str, dict[str, tuple[ReliabilityBlock, ...]]] = Field(default_factory=dict)
    quantiles: dict[str, tuple[float, ...]] = Field(default_factory=dict)

    def claim(self, missing: str, label: str, raw: float) -> float | None:
        """Calibrated reliability in [0, 1]; None below anything that source validation has shown."""
        reached = [block.claim for block in self.curves.get(missing, {}).get(label, ()) if raw >= block.low]
        return reached[-1] if reached else None


class AdaptedFrom(Config):
    """Where the weights of an adapted state come from.

    ``source``, ``manifest``, ``delta``: SHA-256 of the source model's card, of the stream's manifest, and of
    ``delta.safetensors``. ``sites`` of the stream; ``step`` batches seen, ``updates`` made.
    """

    source: str
    method: str
    missing: str
    sites: tuple[str, ...]
    manifest: str
    delta: str
    step: int = Field(ge=0)
    updates: int = Field(ge=0)


class Int8Loss(Config):
    """What ``model.int8.onnx`` costs, over ``captures`` that it was not calibrated on, under each missing pattern.

    ``flips``: share of decisions, in [0, 1], that differ from those of ``model.onnx`` at the card's thresholds;
    ``largest_difference`` of a score. ``calibrated_on`` captures of ``manifest`` (SHA-256).
    """

    manifest: str
    calibrated_on: int = Field(ge=1)
    captures: int = Field(ge=1)
    flips: dict[str, float]
    largest_difference: float


class SourceMean(Config):
    """Fused logit on the mean lower maps of source captures: where an explanation starts from, with no modality at all.

    Over ``captures`` captures of ``sources``; see `mfas.explain.empty`.
    """

    logit: float = Field(allow_inf_nan=False)
    captures: int = Field(ge=1)
    sources: tuple[str, ...] = ()


class FamilyCard(Config):
    """Attack-family heads of a model: which families, in the order of their outputs, and how they were trained.

    ``way``: when, as in `mfas.training.families.FamilyConfig`; ``hidden`` units of each head. ``training``: the
    settings and how many captures. ``metrics``: on source validation, by `mfas.benchmark.family_heads`.
    """

    names: tuple[Family, ...] = Field(min_length=1)
    hidden: int = Field(ge=1)
    way: str
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)

    @field_validator("names")
    @classmethod
    def _once(cls, value: tuple[Family, ...]) -> tuple[Family, ...]:
        if len(set(value)) < len(value) or Family.UNKNOWN in value:
            raise ValueError(f"expected known families, each once, got {', '.join(value)}")
        return value


class Card(Config):
    """What a set of weights is and how to use it.

    `thresholds[missing]` is the equal-error threshold on source-validation presentations for each imposed pattern
    (``""`` = nothing missing); a presentation is accepted as bona fide when its score is at least the threshold.
    `gate` holds the heads' equal-error points as logits, `evidence` what the gate did on source validation (None in
    cards written before it was measured). `files` maps each file of the model directory to its SHA-256. `notice` is a
    sentence that goes with every answer of the model, empty for most. `adapted` stands in the card of an exported
    adapted state, `int8` where there is a quantised graph, `families` where the model has attack-family heads.
    `bands[missing]` is (low, high) around a threshold, chosen on source validation: a score in [low, high) asks for
    another check. Without one, the threshold decides alone. `source_mean` is None in cards written before it was
    measured, and in those of adapted states. `weaknesses` are what audits found, a sentence each, for whoever decides
    on its use; answers do not repeat them.
    """

    format: Literal[1] = 1
    model: str
    architecture: dict[str, Any] = Field(default_factory=dict)
    modalities: tuple[Modality, ...] = MODALITIES
    preprocess: Preprocess = Preprocess()
    thresholds: dict[str, float] = Field(default_factory=dict)
    bands: dict[str, tuple[float, float]] = Field(default_factory=dict)
    gate: dict[str, float] = Field(default_factory=dict)
    evidence: GateEvidence | None = None
    sources: tuple[str, ...] = ()
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0
    licence: str = "unspecified"
    notice: str = ""
    weaknesses: tuple[str, ...] = ()
    adapted: AdaptedFrom | None = None
    int8: Int8Loss | None = None
    source_mean: SourceMean | None = None
    families: FamilyCard | None = None
    files: dict[str, str] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _thresholds_known(self) -> Card:
        for missing, value in self.thresholds.items():
            if missing not in MISSING_PATTERNS:
                raise ValueError(f"unknown missing pattern '{missing}' in thresholds")
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"threshold of pattern '{missing}' must lie in [0, 1]")
        for missing, (low, high) in self.bands.items():
            if not 0.0 <= low <= self.thresholds.get(missing, -1.0) <= high <= 1.0:
                raise ValueError(f"band of pattern '{missing}' must lie in [0, 1] and hold its threshold")
        return self

    def threshold(self, missing: str = "") -> float:
        """The source-validation threshold for an imposed pattern; `ModelDirError` if the card has none."""
        try:
            return self.thresholds[missing]
        except KeyError:
            raise ModelDirError(f"the model card holds no threshold for missing='{missing}'") from None

    def told(self) -> dict[str, str]:
        """``{"notice": ...}`` for results that people read; empty where there is nothing to tell."""
        return {"notice": self.notice} if self.notice else {}

    def unknown_modalities(self) -> tuple[Modality, ...]:
        """What the model was never trained on and must not be asked about."""
        return tuple(m for m in MODALITIES if m not in self.modalities)

    def write(self, directory: Path) -> None:
        """Write ``DIR/card.json``."""
        write_json(directory / CARD_FILE, self.model_dump(mode="json"))

    @staticmethod
    def read(directory: Path, *, verify: bool = True) -> Card:
        """Read ``DIR/card.json`` and, unless told otherwise, check the SHA-256 of every file it lists."""
        if not directory.is_dir():
            raise ModelDirError(f"expected a model directory, found none at {directory}")
        card = parse(Card, _mapping(directory / CARD_FILE), str(directory / CARD_FILE))
        if verify:
            for name, digest in card.files.items():
                file = directory / name
                if Path(name).name != name or not file.is_file():
                    raise ModelDirError(f"{directory}: the card lists '{name}', which is not there")
                found = sha256(file)
                if found != digest:
                    raise ModelDirError(
                        f"{file} does not match its card: expected SHA-256 {digest[:12]}…, got {found[:12]}…"
                    )
        return card


def _mapping(path: Path) -> dict[str, Any]:
    content = read_json(path, "model card", ModelDirError)
    if not isinstance(content, dict):
        raise ModelDirError(f"expected a mapping in {path}, got {type(content).__name__}")
    return content
