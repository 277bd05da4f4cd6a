"""A made-up model in the layout of the ICT Face Model Light: the template's head, four modes, the shapes we use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mfas.simulation.heads._ict_layout import SHIFT_MM
from mfas.simulation.heads.template import COLUMNS, ROWS, template

VERTICES = 26_719
EYEBALLS = (21_451, 23_021)
Arrays = dict[str, Any]

_PAIRS = {  # name without side: x, y, width of the field, and how far it moves, mm
    "mouthSmile": (26, -70, 9, (5, 6, -2)),
    "cheekSquint": (42, -30, 10, (0, 3, 1)),
    "browInnerUp": (14, 20, 9, (0, 6, 0)),
    "browOuterUp": (40, 20, 10, (0, 6, 0)),
    "browDown": (25, 20, 10, (0, -5, 0)),
    "eyeSquint": (31, -10, 6, (0, 2, 0)),
    "cheekPuff": (38, -60, 12, (2, 0, 9)),
    "mouthPress": (16, -72, 8, (0, 2, 0)),
    "noseSneer": (14, -42, 7, (0, 4, 1)),
    "eyeBlink": (33, 6, 4, (0, -12, 0)),
    "eyeLookUp": (33, 6, 4, (0, 3, 0)),
    "eyeLookDown": (33, 6, 4, (0, -4, 0)),
}
_MIDDLE = {
    "jawOpen": (0, -95, 20, (0, -28, -8)),
    "mouthPucker": (0, -72, 11, (0, 0, 9)),
    "mouthRollLower": (0, -78, 8, (0, 2, -3)),
    "mouthRollUpper": (0, -66, 8, (0, -2, -3)),
}


def model(modes: int = 4) -> Arrays:
    """The arrays, as they would lie in the file."""
    skin = template().vertices - SHIFT_MM
    points = np.tile(np.array([0, -60, 40], np.float32) - SHIFT_MM, (VERTICES, 1))
    points[: len(skin)] = skin
    quads = [_grid_quads(ROWS, COLUMNS, 0)]
    for first, side in zip(EYEBALLS, (1, -1), strict=True):
        points[first : first + 770] = _ball(side) - SHIFT_MM
        quads.append(_grid_quads(22, 35, first))
    quads.append(np.array([[11_300, 11_301, 11_302, -1], [0, 1, 11_303, -1], [14_100, 14_101, 14_102, 14_103]]))
    head = points + SHIFT_MM
    names, deltas = [], []
    for name, (x, y, width, move) in _PAIRS.items():
        for letter, side in (("L", 1), ("R", -1)):
            names.append(f"{name}_{letter}")
            deltas.append(_bump(head, side * x, y, width, (side * move[0], move[1], move[2])))
    for name, (x, y, width, move) in _MIDDLE.items():
        names.append(name)
        deltas.append(_bump(head, x, y, width, move))
    identity = [head * [0.03, 0, 0], head * [0, 0.03, 0], head * [0, 0, 0.02], _bump(head, 0, -38, 10, (0, 0, 3))]
    return {
        "neutral": (points / 10).astype(np.float32),
        "identity_delta": (np.stack(identity[:modes]) / 10).astype(np.float16),
        "expression_delta": (np.stack(deltas) / 10).astype(np.float16),
        "expression_names": np.array(names),
        "quads": np.concatenate(quads).astype(np.int32),
    }


def write_folder(arrays: Arrays, folder: Path) -> Path:
    """The same model as OBJ files, the way its own repository lays them out."""
    folder.mkdir(parents=True)
    faces = "".join(
        "f " + " ".join(f"{c + 1}/{c + 1}/{c + 1}" for c in row if c >= 0) + "\n" for row in arrays["quads"].tolist()
    )
    neutral = arrays["neutral"].astype(np.float64)
    files = {"generic_neutral_mesh": neutral}
    files |= {f"identity{k:03d}": neutral + delta for k, delta in enumerate(arrays["identity_delta"])}
    files |= {name: neutral + d for name, d in zip(arrays["expression_names"], arrays["expression_delta"], strict=True)}
    for name, points in files.items():
        lines = ["# made up", "vt 0.5 0.5", *(f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in points.tolist()), ""]
        (folder / f"{name}.obj").write_text("\n".join(lines) + faces)
    return folder


def _grid_quads(rows: int, columns: int, first: int) -> np.ndarray:
    index = np.arange(rows * columns).reshape(rows, columns) + first
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    return np.stack([a, c, d, b], -1).reshape(-1, 4)


def _ball(side: int) -> np.ndarray:
    polar, turn = np.meshgrid(np.linspace(0, np.pi, 22), np.linspace(0, 2 * np.pi, 35), indexing="ij")
    unit = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], -1)
    return unit.reshape(-1, 3) * 15 + [side * 31.5, 0, 68]


def _bump(points: np.ndarray, x: float, y: float, width: float, move: tuple[float, ...]) -> np.ndarray:
    away = ((points[:, 0] - x) ** 2 + (points[:, 1] - y) ** 2) / width**2
    weight = np.where(points[:, 2] > 0, np.exp(-0.5 * away), 0)
    weight[21_451:24_591] = 0
    return weight[:, None] * np.array(move, float)
