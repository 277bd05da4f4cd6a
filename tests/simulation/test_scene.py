from __future__ import annotations

import numpy as np
import pytest

from mfas.errors import InputError
from mfas.simulation.geometry import Mesh, ellipsoid, place, rotation, sheet, vertex_normals
from mfas.simulation.heads import FaceState, ParametricHead
from mfas.simulation.heads.scanned import load_glb
from mfas.simulation.raster import Camera
from mfas.simulation.scene import Part, View, render
from mfas.simulation.shading import Light
from mfas.simulation.stage import plain

CAMERA = Camera(focal=100.0, cx=48.0, cy=48.0, size=96)
LIGHT = Light(
    ambient=np.full(3, 0.6, np.float32),
    ground=np.full(3, 0.3, np.float32),
    key=np.full(3, 0.6, np.float32),
    key_direction=np.array([0.0, -0.6, -0.8], np.float32),
    softness=0.5,
    shadow=0.5,
    reference_mm=600.0,
)


def _view(mesh: Mesh, distance: float, texture: object = None) -> View:
    placed = Mesh(place(mesh.vertices, (0.0, 0.0, distance)), mesh.faces, mesh.uv)
    surface = plain((0.5, 0.5, 0.5), 0.5, 0.0) if texture is None else texture
    return render([Part("one", placed, surface)], CAMERA, LIGHT)  # type: ignore[arg-type]


def test_a_plane_has_its_distance_and_its_size() -> None:
    view = _view(sheet(300, 200), 600)
    seen = view.z > 0
    assert np.allclose(view.z[seen], 600, atol=0.1)
    assert np.allclose(view.facing[48, 48], 1, atol=1e-3)
    assert seen.sum() == pytest.approx(300 * 200 / 36, rel=0.05)


def test_a_ball_has_the_depth_of_its_equation() -> None:
    view = _view(ellipsoid((80, 80, 80), steps=65), 600)
    assert view.z[48, 48] == pytest.approx(520, abs=0.6)
    normals = vertex_normals(*(lambda m: (m.vertices, m.faces))(ellipsoid((80, 80, 80), steps=33)))
    outward = ellipsoid((80, 80, 80), steps=33).vertices / 80
    assert np.mean((normals * outward).sum(axis=1)) > 0.95


def test_the_emitter_falls_off_with_the_square() -> None:
    near, far = (_view(sheet(900, 900), z).active[48, 48] for z in (500.0, 1000.0))
    assert near / far == pytest.approx(4, rel=0.02)


def test_a_head_has_the_size_of_a_head_and_a_nose() -> None:
    head = ParametricHead().head("somebody")
    low, high = head.mesh.vertices.min(axis=0), head.mesh.vertices.max(axis=0)
    assert 130 < high[0] - low[0] < 230
    assert 80 < high[2] < 140
    view = render([Part("head", Mesh(place(head.mesh.vertices, (0.0, 0.0, 700.0)), head.mesh.faces, head.mesh.uv),
                        head.texture)], Camera(280.0, 48.0, 40.0, 96), LIGHT)  # fmt: skip
    front = np.where(view.z > 0, view.z, np.inf)
    row, column = np.unravel_index(front.argmin(), front.shape)
    assert abs(column - 48) < 5
    assert 45 < row < 70


def test_a_person_stays_and_people_differ() -> None:
    source = ParametricHead()
    first, again, other = source.head("a"), source.head("a"), source.head("b")
    assert np.array_equal(first.mesh.vertices, again.mesh.vertices)
    assert np.abs(first.mesh.vertices - other.mesh.vertices).max() > 3


@pytest.mark.parametrize("which", range(8))
def test_every_expression_moves_the_face(which: int) -> None:
    weights = np.zeros(8, np.float32)
    weights[which] = 1
    still, moved = ParametricHead().head("a"), ParametricHead().head("a", FaceState(weights))
    assert 1 < np.abs(still.mesh.vertices - moved.mesh.vertices).max() < 25


def test_eyelids_close_over_the_eyes() -> None:
    source = ParametricHead()
    opened, closed = source.head("a", FaceState(lids=1.0)), source.head("a", FaceState(lids=0.0))
    changed = np.abs(opened.texture[..., :3] - closed.texture[..., :3]).max(axis=2) > 0.02
    inside = opened.regions["eyes"] > 0
    assert changed.sum() > 100
    assert changed[~inside].sum() < 0.2 * changed.sum()


def test_dark_skin_is_bright_in_infrared() -> None:
    source = ParametricHead()
    fair, dark = (source.head("a", tone=tone).texture for tone in (0, 5))
    cheek = (150, 128)
    assert fair[cheek][0] > 2.5 * dark[cheek][0]
    assert 0.4 < dark[cheek][3] < 0.7


def test_rotations_are_rotations() -> None:
    turn = rotation(20, -10, 5)
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-6)
    assert (rotation(30, 0, 0) @ np.array([0, 0, 1]))[0] > 0


def test_a_bent_sheet_keeps_its_length() -> None:
    mesh = sheet(200, 100, bend=1 / 90, steps=41)
    row = mesh.vertices[:41]
    assert np.linalg.norm(np.diff(row, axis=0), axis=1).sum() == pytest.approx(200, rel=0.01)
    assert np.ptp(mesh.vertices[:, 2]) > 30


def test_a_file_that_is_no_glb_is_refused(tmp_path: object) -> None:
    path = tmp_path / "head.glb"  # type: ignore[operator]
    with pytest.raises(InputError, match="found none"):
        load_glb(path)
    path.write_bytes(b"solid head" * 10)
    with pytest.raises(InputError, match="binary glTF"):
        load_glb(path)
