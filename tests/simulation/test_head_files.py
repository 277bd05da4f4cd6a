from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ict_model import Arrays, write_folder
from mfas.errors import InputError
from mfas.simulation import open_head
from mfas.simulation.heads import FaceState
from mfas.simulation.heads._obj import read_polygons, read_positions

TALKING = FaceState(np.array([0.9, 0.3, 0, 0, 0, 0, 0, 0], np.float32))


def test_the_folder_of_its_own_repository_gives_the_same_people(arrays: Arrays, made_up: Path, tmp_path: Path) -> None:
    few = {**arrays, "identity_delta": arrays["identity_delta"][:2]}
    np.savez(tmp_path / "few.npz", **few)
    folder = write_folder(few, tmp_path / "ICT-FaceKit" / "FaceXModel")
    from_file = open_head(tmp_path / "few.npz").head("anna", TALKING)
    for path in (folder, folder.parent):
        found = open_head(path).head("anna", TALKING)
        np.testing.assert_allclose(found.mesh.vertices, from_file.mesh.vertices, atol=0.02)
        np.testing.assert_array_equal(found.mesh.faces, from_file.mesh.faces)
    spoil(folder)


def spoil(folder: Path) -> None:
    """Break the files of a model one after the other; each is refused by name."""
    neutral, shape, mode = folder / "generic_neutral_mesh.obj", folder / "jawOpen.obj", folder / "identity001.obj"
    text = neutral.read_text()
    for changed, said in (
        (text + "f 1 2 3 4 5\n", "triangles or quads"),
        (text + "f 1 2 x\n", "vertex numbers"),
        (text + "f 1 2 30000\n", "quads"),
        (text + "f 0 1 2\n", "counted from 1"),
        (text.replace("v 0", "v nought", 1), "numbers in the v lines"),
        (text[: text.index("f ")], "faces"),
        (text[text.index("\nv ") + 3 :], "vertices"),
    ):
        neutral.write_text(changed)
        with pytest.raises(InputError, match=f"(?s)^expected.*{said}"):
            open_head(folder)
    neutral.write_text(text)
    mode.write_text("v 1 2 3\n")
    with pytest.raises(InputError, match=r"26719 vertices .*identity001"):
        open_head(folder)
    mode.write_text(text)
    shape.unlink()
    with pytest.raises(InputError, match="jawOpen"):
        open_head(folder)
    for path in folder.glob("identity*.obj"):
        path.unlink()
    with pytest.raises(InputError, match="identity000"):
        open_head(folder)


def test_the_published_mesh_reads_as_the_array_file_does(shared_data: Path) -> None:
    folder = shared_data / "ict_facekit"
    with np.load(folder / "ict_facekit.npz", allow_pickle=False) as fields:
        np.testing.assert_allclose(read_positions(folder / "generic_neutral_mesh.obj"), fields["neutral"], atol=1e-5)
        np.testing.assert_array_equal(read_polygons(folder / "generic_neutral_mesh.obj"), fields["quads"])


def without(arrays: Arrays, name: str) -> Arrays:
    return {key: value for key, value in arrays.items() if key != name}


@pytest.mark.parametrize("name", ["neutral", "identity_delta", "expression_delta", "expression_names", "quads"])
def test_a_wrong_field_is_refused_by_name(arrays: Arrays, tmp_path: Path, name: str) -> None:
    wrong = {
        "missing": without(arrays, name),
        "short": {**arrays, name: arrays[name][..., :-1] if arrays[name].ndim > 1 else arrays[name][:-1]},
        "kind": {**arrays, name: np.zeros(arrays[name].shape, complex)},
        "pickle": {**arrays, name: np.array([{"a": 1}], object)},
    }
    for case, fields in wrong.items():
        path = tmp_path / f"{case}.npz"
        np.savez(path, **fields)
        with pytest.raises(InputError, match=rf"^expected.*{name}"):
            open_head(path)


def test_impossible_values_are_refused(arrays: Arrays, tmp_path: Path) -> None:
    nowhere = arrays["neutral"].copy()
    nowhere[7, 1] = np.nan
    outside = arrays["quads"].copy()
    outside[3, 2] = 26_719
    for name, value in (("neutral", nowhere), ("quads", outside)):
        np.savez(tmp_path / "wrong.npz", **{**arrays, name: value})
        with pytest.raises(InputError, match=f"^expected.*{name}"):
            open_head(tmp_path / "wrong.npz")
    renamed = np.where(arrays["expression_names"] == "jawOpen", "jawopen", arrays["expression_names"])
    np.savez(tmp_path / "wrong.npz", **{**arrays, "expression_names": renamed})
    with pytest.raises(InputError, match="jawOpen"):
        open_head(tmp_path / "wrong.npz")


def test_a_damaged_file_is_refused(made_up: Path, tmp_path: Path) -> None:
    content = made_up.read_bytes()
    middle = bytearray(content)
    middle[20_000:30_000] = bytes(10_000)
    for case, data in {"cut": content[: len(content) // 2], "empty": b"", "text": b"hello " * 50,
                       "changed": bytes(middle)}.items():  # fmt: skip
        path = tmp_path / f"{case}.npz"
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"^expected.*damaged"):
            open_head(path)


def test_other_things_are_no_heads(made_up: Path, tmp_path: Path) -> None:
    (tmp_path / "head.stl").write_bytes(b"solid")
    (tmp_path / "empty").mkdir()
    for path, said in ((tmp_path / "head.stl", "got a .stl file"), (tmp_path / "none.npz", "found none"),
                       (tmp_path / "empty", "generic_neutral_mesh.obj")):  # fmt: skip
        with pytest.raises(InputError, match=said):
            open_head(path)
    with pytest.raises(InputError, match="no head_texture"):
        open_head(made_up, tmp_path / "skin.jpg")
