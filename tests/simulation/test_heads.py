from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from commands import mfas, refusal
from mfas.data.manifest import read_manifest
from mfas.errors import InputError
from mfas.simulation import IctHead, ParametricHead, load_site, open_head, plan, render_presentation, simulate
from mfas.simulation.geometry import Mesh, place
from mfas.simulation.heads import FaceState
from mfas.simulation.heads.base import EXPRESSIONS
from mfas.simulation.heads.skin import SIZE
from mfas.simulation.raster import Camera
from mfas.simulation.scene import Part, _draw
from mfas.simulation.site import Site
from mfas.simulation.species import species_names
from mfas.simulation.species._corneas import corneas
from mfas.simulation.species._material import painted
from mfas.simulation.species._spectacles import spectacles, survey
from mfas.simulation.species._worn import widened
from mfas.simulation.stage import Stage, plain


@pytest.fixture(scope="session", params=["made up", "real"])
def source(request: pytest.FixtureRequest, made_up: Path) -> IctHead:
    if request.param == "made up":
        return IctHead(made_up)
    path = request.getfixturevalue("shared_data") / "ict_facekit" / "ict_facekit.npz"
    if not path.is_file():
        pytest.skip(f"no face model at {path}")
    return IctHead(path)


def moved(number: int, amount: float = 0.9) -> FaceState:
    expression = np.zeros(EXPRESSIONS, np.float32)
    expression[number] = amount
    return FaceState(expression)


def shape_of(source: IctHead, state: FaceState = FaceState(), subject: str = "anna") -> np.ndarray:  # noqa: B008
    return np.asarray(source.head(subject, state).mesh.vertices)


def eyeballs(source: IctHead) -> np.ndarray:
    """Which vertices are painted as eyeballs."""
    uv = source.head("anna").mesh.uv
    return (uv[:, 0] > SIZE / (SIZE + 64)) & (uv[:, 1] < 0.25)


def test_a_subject_is_the_same_person_everywhere(source: IctHead) -> None:
    again = pickle.loads(pickle.dumps(source))
    first, second = source.head("anna", tone=3), again.head("anna", moved(1, 0.0), tone=3)
    np.testing.assert_array_equal(first.mesh.vertices, second.mesh.vertices)
    np.testing.assert_array_equal(first.texture, second.texture)
    other = source.head("bert", tone=3)
    assert np.abs(first.mesh.vertices - other.mesh.vertices).max() > 2
    assert not np.array_equal(first.texture, other.texture)
    np.testing.assert_array_equal(first.mesh.vertices, source.head("anna", tone=0).mesh.vertices)


def test_heads_stand_in_head_coordinates(source: IctHead) -> None:
    for subject in ("anna", "bert", "carl"):
        head = source.head(subject)
        eyes = head.mesh.vertices[eyeballs(source)]
        assert np.abs(eyes[:, :2].mean(axis=0)).max() < 3
        left, top, right, bottom = head.face_box
        assert left < -50
        assert right > 50
        assert 150 < top - bottom < 220
        face = head.mesh.vertices[(np.abs(head.mesh.vertices[:, :2]) < 60).all(axis=1)]
        assert 85 < face[:, 2].max() < 145
        assert head.neck.min() == 0
        assert head.neck.max() == 1
        assert head.texture.shape[:2] == head.regions["face"].shape


@pytest.mark.parametrize("number", [1, 2, 6])
def test_a_mouth_expression_leaves_the_upper_face(source: IctHead, number: int) -> None:
    still = shape_of(source)
    step = np.linalg.norm(shape_of(source, moved(number)) - still, axis=1)
    assert step.max() > 1.5
    assert step[still[:, 1] > 10].max() < 0.5
    assert step[still[:, 2] < -40].max() < 0.5


def test_brows_rise_and_leave_the_mouth(source: IctHead) -> None:
    still = shape_of(source)
    step = shape_of(source, moved(3)) - still
    assert step[:, 1].max() > 3
    assert np.abs(step[still[:, 1] < -55]).max() < 0.5


def test_a_blink_brings_the_lids_together(source: IctHead) -> None:
    skin = source.head("anna").mesh.uv[:, 0] < SIZE / (SIZE + 64)
    for side in (-33, 33):
        still = shape_of(source)
        rim = [
            np.argmin(np.hypot(still[:, 0] - side, still[:, 1] - y) + 1e3 * ~skin - 0.01 * still[:, 2])
            for y in (4.8, -4.8)
        ]
        shut = shape_of(source, FaceState(lids=0.0))
        gap = [points[rim[0], 1] - points[rim[1], 1] for points in (still, shut)]
        assert gap[0] > 6
        assert gap[1] < 0.4 * gap[0]


def test_gaze_turns_the_eyeballs(source: IctHead) -> None:
    ball = eyeballs(source)
    front = shape_of(source)[ball, 2] > np.percentile(shape_of(source)[ball, 2], 90)
    aside = shape_of(source, FaceState(gaze=(1.0, 0.0)))[ball][front] - shape_of(source)[ball][front]
    upward = shape_of(source, FaceState(gaze=(0.0, 1.0)))[ball][front] - shape_of(source)[ball][front]
    assert aside[:, 0].mean() > 3
    assert upward[:, 1].mean() > 2


def test_paint_lies_on_the_features(source: IctHead) -> None:
    head = source.head("anna")
    rows, columns = (head.mesh.uv[:, ::-1] * head.texture.shape[:2]).astype(int).T
    places = {"eyes": (31.5, 0), "mouth": (0, -72), "nose": (0, -34)}
    for name, (x, y) in places.items():
        near = np.hypot(head.mesh.vertices[:, 0] - x, head.mesh.vertices[:, 1] - y)
        vertex = np.argmin(near - 0.5 * head.mesh.vertices[:, 2])
        assert head.regions[name][rows[vertex], columns[vertex]] > 0.5, name


def test_the_cast_follows_the_face(source: IctHead) -> None:
    head, cast = source.head("anna"), source.cast("anna")
    assert cast.mesh.vertices.shape == ParametricHead().head("anna").mesh.vertices.shape
    tip = head.mesh.vertices[(np.abs(head.mesh.vertices[:, 0]) < 8) & (head.mesh.vertices[:, 1] < 0)]
    near = cast.mesh.vertices[(np.abs(cast.mesh.vertices[:, 0]) < 8) & (cast.mesh.vertices[:, 1] < 0)]
    assert near[:, 2].max() == pytest.approx(tip[:, 2].max(), abs=3)
    assert np.abs(source.cast("anna", moved(1)).mesh.vertices - cast.mesh.vertices).max() > 1.5


def test_the_parametric_head_is_its_own_cast() -> None:
    head, cast = ParametricHead().head("anna"), ParametricHead().cast("anna")
    np.testing.assert_array_equal(head.mesh.vertices, cast.mesh.vertices)
    np.testing.assert_array_equal(head.texture, cast.texture)


def only(species: str) -> Site:
    """A frontal site that stages this species, or live people for ``""``."""
    mix = {species or "print_flat": {"share": 1.0}}
    pose = {"yaw_deg": 2, "pitch_deg": 2, "roll_deg": 1}
    sensor = {"kind": "time_of_flight"}
    return Site.model_validate({"name": "one", "species": mix, "depth": sensor, "pose": pose,
                                "bona_fide_share": 0.0 if species else 1.0})  # fmt: skip


@pytest.mark.parametrize("species", species_names())
def test_every_species_is_staged_with_it(source: IctHead, species: str) -> None:
    who, capture = render_presentation(only(species), 5, 0, 0, head=source)
    assert who.species == species
    assert (capture.view.part == 0).mean() > 0.1, "the artefact is in the picture"
    assert capture.view.part[50:62, 50:62].min() == 0, "and in the middle of it"
    live = render_presentation(only(""), 5, 0, 0, head=source)[1]
    assert np.abs(capture.rgb.astype(int) - live.rgb.astype(int)).mean() > 5


def test_a_live_face_has_the_relief_of_a_face(source: IctHead) -> None:
    reliefs = []
    for number in range(8):
        view = render_presentation(only(""), 5, number, 0, head=source)[1].view
        z = view.z[37:75, 37:75][view.part[37:75, 37:75] == 0]
        reliefs.append(np.subtract(*np.percentile(z, [95, 5])))
    assert 30 < np.median(reliefs) < 110
    assert max(reliefs) < 140


def test_eyes_are_found_where_the_eyeballs_are(source: IctHead) -> None:
    ball = eyeballs(source)
    for subject in ("anna", "bert", "carl"):
        head = source.head(subject)
        face = survey(head)
        assert face is not None
        for iris, side in zip(face.irises, (-1, 1), strict=True):
            eye = head.mesh.vertices[ball & (np.sign(head.mesh.vertices[:, 0]) == side)]
            np.testing.assert_allclose(iris[:2], eye[:, :2].mean(axis=0), atol=1.5)
            assert eye[:, 2].max() - 2 < iris[2] <= eye[:, 2].max()
        assert 60 < face.ear_x < 100


def test_spectacles_and_corneas_sit_before_the_eyes(source: IctHead) -> None:
    subject = next(f"person-{i}" for i in range(40) if spectacles(source.head(f"person-{i}"), f"person-{i}"))
    head = source.head(subject)
    face = survey(head)
    assert face is not None
    lenses = next(part for part in spectacles(head, subject) if part.name == "lenses").mesh.vertices
    (shining,) = corneas(face, FaceState())
    for iris, side in zip(face.irises, (-1, 1), strict=True):
        lens = lenses[np.sign(lenses[:, 0]) == side].mean(axis=0)
        np.testing.assert_allclose(lens[:2], iris[:2], atol=6)
        assert 8 < lens[2] - iris[2] < 22
        cap = shining.mesh.vertices[np.sign(shining.mesh.vertices[:, 0]) == side]
        assert 0 < cap[:, 2].max() - iris[2] < 2


def test_a_mannequin_is_painted_in_the_tone_of_the_skin(source: IctHead) -> None:
    """The colour it is mixed from is the face's, not that of teeth beside it in the texture."""
    head, rng = source.head("anna", tone=5), np.random.default_rng(0)
    flat = painted(head, rng, mottling=0.0, blur=0.2, cast=0.0)
    skin = head.regions["skin"] > 0.5
    assert skin[:, SIZE:].max() == 0
    for channel in range(3):
        wanted = np.median(head.texture[skin][:, channel])
        assert np.median(flat[skin][:, channel]) == pytest.approx(wanted, rel=0.05)


def test_any_number_of_workers_gives_the_same_bytes(made_up: Path, tmp_path: Path) -> None:
    site, head = load_site("gate"), IctHead(made_up)
    for workers in (1, 2):
        simulate(site, count=27, seed=2, out=tmp_path / str(workers), head=head, workers=workers)
    files = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*.png"))
    assert len(files) == 27 * 3 + 1
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes(), file


def test_on_the_command_line(made_up: Path, tmp_path: Path) -> None:
    argv = ("data", "simulate", "--site", "kiosk", "--count", 12, "--out", tmp_path / "s", "--head-model")
    result = mfas(*argv, made_up, "--json").json()
    assert set(result["label"]) == {"bona_fide", "attack"}
    assert json.loads((tmp_path / "s" / "simulation.json").read_text())["head"] == "ict"
    table = read_manifest(tmp_path / "s" / "manifest.parquet")
    planned = {plan(load_site("kiosk"), 0, number).subject for number in range(4)}
    assert set(table.subjects()) == planned
    (tmp_path / "text.npz").write_text("no arrays")
    assert "damaged" in refusal(*argv, tmp_path / "text.npz")
    assert "generic_neutral_mesh.obj" in refusal(*argv, tmp_path)


def test_a_scan_makes_no_masks(shared_data: Path) -> None:
    with pytest.raises(InputError, match="serves attacks"):
        open_head(shared_data / "head_scan" / "LeePerrySmith.glb").cast("anna")


@pytest.mark.parametrize("species", ["mask_paper", "mask_rigid"])
def test_nobody_shows_through_a_mask(source: IctHead, species: str) -> None:
    site = only(species)
    for number in range(6):
        view = render_presentation(site, 7, number, 0, head=source)[1].view
        middle = np.isin(view.part[46:76, 42:70], (0, 1))
        assert middle.all()
        through = (view.part[46:76, 42:70] == 1).mean()
        assert through < 0.2, "eye holes, and nothing else"


def test_a_mask_reaches_over_a_nose_at_another_height(source: IctHead) -> None:
    """Of faces a centimetre lower or higher, too, no skin comes through."""
    stage = Stage(only("mask_rigid"), source, "anna", "bert", 2, 2, 0.5, ("test",))
    worn = source.cast("anna").mesh
    for shift in (-10, 10):
        mask = widened(stage, Mesh(worn.vertices + np.array([0, shift, 0], np.float32), worn.faces, worn.uv), 1.0)
        parts = [Part("mask", placed(mask), plain((0, 0, 0), 0, 0)),
                 Part("own", placed(source.head("bert").mesh), plain((1, 1, 1), 0, 0))]  # fmt: skip
        seen = _draw(parts, Camera(350.0, 56.0, 40.0, 112)).part
        assert (seen[30:76, 34:78] == 1).mean() < 0.005


def placed(mesh: Mesh) -> Mesh:
    return Mesh(place(mesh.vertices, (0.0, 0.0, 900.0)), mesh.faces, mesh.uv)
