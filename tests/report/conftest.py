"""Fabricated but plausible inputs of a report."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mfas import metrics
from mfas.core import MISSING_PATTERNS, Modality, parse_modalities
from mfas.report import ReportData, ScoreGroup, Tile, Timeline

SPECIES = ("mask_rigid", "mask_silicone", "print_curved", "print_flat", "replay_lcd", "replay_oled")
PEOPLE, EACH = 40, 3
NAMES = [f"person-{i // EACH:02d}" for i in range(PEOPLE * EACH)]


def _scores(rng, habit, separation, shift):
    noise = rng.normal(0, 1.0, habit.size)
    return 1 / (1 + np.exp(-(separation + shift + 0.7 * habit + noise)))


def _group(missing, method, rng, habit):
    gone = len(parse_modalities(missing))
    quality = 2.2 - 0.55 * gone - (0.35 if method == "source" else 0.0)
    if missing == "rgb,depth" and method != "source":
        quality -= 0.5
    drift = 0.9 if method == "source" else 0.25
    attacks = {name: _scores(rng, habit, -quality + 0.2 * i - 0.4, drift) for i, name in enumerate(SPECIES)}
    genuine = _scores(rng, habit, quality, drift)
    names = dict.fromkeys(SPECIES, NAMES)
    return ScoreGroup("gate_south", missing, method, genuine, attacks, 0.52, NAMES, names)


def _run(group, draws):
    found = metrics.evaluate(
        group.bona_fide, group.attacks, group.threshold, bona_fide_subjects=group.bona_fide_subjects,
        attack_subjects=group.attack_subjects, draws=draws,
        non_response={"bona_fide": 1, "mask_rigid": 2} if group.missing == "depth,ir" else 0,
    )  # fmt: skip
    adapted = group.method != "source"
    return {
        "protocol": "leave_one_site_out", "sources": ["office", "lobby", "kiosk"], "target": group.name,
        "missing": group.missing, "stream": "shuffled", "unit": "presentation", "model": "mfas_danet",
        "method": group.method, "seed": 0, **found.to_dict(), "steps_taken": 71 if adapted else 0,
        "seconds": 41.2 if adapted else 9.7, "captures_per_second": 20.4 if adapted else 86.6, "status": "ok",
    }  # fmt: skip


def _timeline(missing, rng):
    steps = []
    for step in range(84):
        busy = rng.random() > 0.12
        genuine, fake = (int(rng.integers(0, 4)), int(rng.integers(1, 6))) if busy else (0, 0)
        jump = float(np.exp(-step / 20) * 0.8 + 0.05 * rng.random())
        total = genuine + fake
        steps.append(
            {
                "step": step, "seen": 10 * (step + 1), "accepted": total, "accepted_bona_fide": genuine,
                "accepted_attack": fake, "skipped_reason": None if busy else "too_few_accepted", "updated": busy,
                "loss": 0.5 if busy else None, "loss_weight": float(1 - 0.6 * jump - 0.1 * rng.random()),
                "signals": {"loss_jump": jump, "flip_rate": float(0.3 * np.exp(-step / 30)),
                            "mean_uncertainty": float(0.4 - 0.002 * step + 0.03 * rng.random())},
                "guard": None, "seconds": 0.4,
                "pseudo_label_correct": int(rng.binomial(total, 0.9 + 0.08 * step / 84)), "pseudo_label_total": total,
            }
        )  # fmt: skip
    return Timeline("gate_south", missing, "mfas_danet", steps)


def _png(array):
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def face_images(rng, side=96):
    """A crude face: an ellipsoid in colour, in 16-bit millimetres and in 16-bit infrared."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    inside = (x / 0.62) ** 2 + (y / 0.85) ** 2
    bump = np.sqrt(np.clip(1 - inside, 0, 1)) + 0.25 * np.exp(-((x / 0.12) ** 2 + ((y - 0.1) / 0.25) ** 2))
    dark = 1 - 0.5 * sum(np.exp(-(((x - s) / 0.13) ** 2 + ((y + 0.2) / 0.07) ** 2)) for s in (-0.25, 0.25))
    skin = np.array([212, 160, 132]) * rng.uniform(0.55, 1.05)
    shade = np.where(inside < 1, 0.35 + 0.65 * bump, 0.2)[..., None] * dark[..., None]
    rgb = np.clip(
        np.where(inside[..., None] < 1, skin, [90, 105, 120]) * shade + rng.normal(0, 4, (side, side, 3)), 0, 255
    )
    depth = np.where(inside < 1, 620 - 110 * bump, 1400.0) + rng.normal(0, 1.5, (side, side))
    depth[rng.random((side, side)) < 0.02] = 0
    infrared = np.clip(9000 * shade[..., 0] + rng.normal(0, 120, (side, side)), 0, 65535)
    return {
        Modality.RGB: _png(rgb.astype(np.uint8)),
        Modality.DEPTH: _png(depth.astype(np.uint16)),
        Modality.IR: _png(infrared.astype(np.uint16)),
    }


def _tiles(count, rng):
    tiles = []
    for i in range(count):
        missing = MISSING_PATTERNS[i % 4] if i % 3 else ""
        genuine = i % 3 == 0
        score = float(np.clip(rng.beta(4, 2) if genuine else rng.beta(2, 4), 0.01, 0.99))
        images = {m: v for m, v in face_images(rng).items() if m not in parse_modalities(missing)}
        decision = "bona_fide" if score >= 0.52 else "attack"
        tiles.append(
            Tile(
                images, "bona_fide" if genuine else "attack", "" if genuine else SPECIES[i % len(SPECIES)],
                None if i == 7 else score, "non_response" if i == 7 else decision, missing,
                "no face found" if i == 7 else "", 0.52,
            )
        )  # fmt: skip
    return tiles


def fabricate(draws=200, tiles=12, patterns=MISSING_PATTERNS):
    rng = np.random.default_rng(7)
    habit = np.repeat(rng.normal(0, 1, PEOPLE), EACH)
    groups = [_group(missing, method, rng, habit) for missing in patterns for method in ("source", "mfas_danet")]
    return ReportData(
        title="Adapting to a new site",
        subtitle="Source-only against adapted MFAS-DANet at one held-out simulated site, under every missing pattern",
        runs=[_run(group, draws) for group in groups],
        score_groups=groups,
        timelines=[_timeline(missing, rng) for missing in patterns],
        tiles=_tiles(tiles, rng),
        environment={"mfas": "0.1.0", "python": "3.11.7", "torch": "2.13.0"},
        command="mfas demo --out out/demo --set seed=0",
        config={"seed": 0, "train": {"epochs": 12, "batch": 32}, "adapt": {"method": "mfas_danet", "batch": 10}},
        notes=("Thresholds were fixed before the target was seen.",),
    )


@pytest.fixture(scope="session")
def report_data():
    return fabricate()
