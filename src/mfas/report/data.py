"""What a report is made of: plain data, no network, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfas.core import Label, Modality, Outcome
from mfas.metrics._check import Array

SOURCE = "source"
"""Method name of the unadapted model: the baseline of every comparison."""


@dataclass(frozen=True, slots=True)
class ScoreGroup:
    """Scores of one run, the unit of DET curves and histograms.

    ``name`` is the target site as in the runs' ``target``; ``bona_fide`` and each entry of ``attacks`` are float
    vectors in [0, 1], higher = bona fide. With subjects (one name per score, same order), and the same presentations in
    the same order in the group of method ``source``, the report adds paired intervals of the difference.
    """

    name: str
    missing: str
    method: str
    bona_fide: Array
    attacks: Mapping[str, Array]
    threshold: float | None = None
    bona_fide_subjects: Sequence[str] | None = None
    attack_subjects: Mapping[str, Sequence[str]] | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """One adaptation stream, step by step, in arrival order.

    Each step is a mapping with ``step, seen, accepted, accepted_bona_fide, accepted_attack, skipped_reason, updated,
    loss, loss_weight, signals (loss_jump, flip_rate, mean_uncertainty), guard, seconds, pseudo_label_correct,
    pseudo_label_total, queued, drift``; any of them may be absent or None. ``seen`` counts captures up to and including
    the step. ``pseudo_labels`` holds them against the truth, as ``mfas.benchmark.pseudo_labels`` gives it.
    """

    name: str
    missing: str
    method: str
    steps: Sequence[Mapping[str, Any]]
    pseudo_labels: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class StreamErrors:
    """Decisions along one stream, vectors over its scored captures in arrival order.

    ``bona_fide`` bool; ``adapted`` and ``source`` (None when there is no run to compare with) are scores in [0, 1];
    ``threshold`` decides both; ``window`` captures make a moving rate.
    """

    bona_fide: NDArray[np.bool_]
    adapted: Array
    source: Array | None
    threshold: float
    window: int


@dataclass(frozen=True, slots=True)
class StreamData:
    """Everything on the page of one run.

    ``strengths`` say how strongly each signal lowers the loss weight (``settings.weight``); ``notes`` are sentences
    about what the page could not show and why.
    """

    timeline: Timeline
    errors: StreamErrors | None = None
    strengths: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tile:
    """One capture of the contact sheet.

    ``images`` holds an encoded image (bytes, or the path of one) per modality. Depth is coloured near = bright: 16-bit
    values are distances (0 = hole), 8-bit grey is taken as near = bright already, colour is left alone. ``decision`` is
    ``bona_fide``, ``attack`` or ``non_response``; ``missing`` the imposed pattern; ``score`` in [0, 1].
    ``blurred``: the images are of people whose faces a report must not show.
    """

    images: Mapping[Modality, bytes | Path]
    label: str
    species: str
    score: float | None
    decision: str
    missing: str = ""
    note: str = ""
    threshold: float | None = None
    blurred: bool = False

    @property
    def error(self) -> str:
        """What went wrong, in two words; empty when the decision was right or there was none."""
        if self.label == Label.BONA_FIDE and self.decision == Label.ATTACK:
            return "bona fide rejected"
        if self.label == Label.ATTACK and self.decision == Label.BONA_FIDE:
            return "attack accepted"
        return ""

    @property
    def outcome(self) -> str:
        """The decision as a reader would say it."""
        if self.decision == Outcome.NON_RESPONSE:
            return "no answer"
        return "accepted" if self.decision == Label.BONA_FIDE else "rejected"


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything on the page. ``runs`` are the rows of ``results.json``; all else may be empty.

    ``command`` is what was typed, ``config`` the resolved configuration, ``notes`` further sentences for the summary,
    ``simulated`` whether the page must say that no real camera was involved.
    """

    title: str
    subtitle: str
    runs: Sequence[Mapping[str, Any]]
    score_groups: Sequence[ScoreGroup] = ()
    timelines: Sequence[Timeline] = ()
    tiles: Sequence[Tile] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    simulated: bool = True
    created: str = ""
