"""A model and its ONNX file give the same answers, for any pattern and any number of captures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mfas._files import sha256
from mfas.card import Card, FamilyCard
from mfas.core import MODALITIES, Family, Modality
from mfas.errors import InputError, ModelDirError
from mfas.export.masked import MaskedModel
from mfas.export.predictor import OUTPUTS, OnnxPredictor, stack
from mfas.models import registry
from mfas.models.contract import FasModel
from mfas.models.families import FamilyHeads, fused_width, predict_with_families
from mfas.models.store import load_model
from toys import SPEC, batch, every_pattern, tiny_model

NAMES = ("score", "modality_scores", "uncertainty", "reliability", "substituted", "enhanced", "present")


def check_parity(
    model: FasModel, predictor: OnnxPredictor, count: int, spec_size: int, heads: FamilyHeads | None = None
) -> None:
    present = every_pattern().repeat(2, 1)[:count]
    generator = torch.Generator().manual_seed(count)
    images = {}
    for column, modality in enumerate(MODALITIES):
        shape = (count, SPEC.channels(modality), spec_size, spec_size)
        images[modality] = torch.randn(shape, generator=generator) * present[:, column].view(-1, 1, 1, 1)
    some = batch(count, present=present)
    ours = predict_with_families(model, heads, type(some)(images, present, some.ids))
    theirs = predictor.predict({m: x.numpy() for m, x in images.items()}, present.numpy())
    assert len(theirs) == count
    for name in NAMES:
        assert np.allclose(getattr(ours, name).numpy(), getattr(theirs, name), atol=1e-4, equal_nan=True), name
    for name, found in theirs.extras.items():
        assert np.allclose(ours.extras[name].numpy(), found, atol=1e-4, equal_nan=True), name


@pytest.mark.parametrize("name", registry.names())
def test_every_model_and_its_file_agree_or_it_says_why_it_has_none(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from mfas.export.onnx_file import export_onnx

    model = tiny_model(name)
    its_card = Card(model=name, architecture=model.architecture.model_dump(mode="json"), preprocess=SPEC)
    if model.onnx_reason:
        with pytest.raises(InputError, match=re.escape(model.onnx_reason)):
            export_onnx(model, its_card, tmp_path)
        return
    export_onnx(model, its_card, tmp_path)
    for count in (1, 7, 12):
        check_parity(model, OnnxPredictor(tmp_path), count, SPEC.size)


@pytest.mark.parametrize("name", [n for n in registry.names() if not registry.model_class(n).onnx_reason])
def test_the_graph_without_branches_is_the_model(name: str) -> None:
    torch.manual_seed(1)
    model, some = tiny_model(name), batch(7, present=every_pattern())
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if ".up." in key:  # adapters begin with nothing to say
                parameter.normal_(0, 0.5)
        masked = MaskedModel(model)
        got = masked(*(some.images[m] for m in MODALITIES), some.present)
    expected = model.predict(some)
    named = {name: getattr(expected, name) for name in OUTPUTS} | dict(expected.extras)
    assert masked.outputs == (*OUTPUTS, "residuals")
    for output, tensor in zip(masked.outputs, got, strict=True):
        assert torch.allclose(tensor.float(), named[output].float(), atol=1e-5, equal_nan=True), output


@pytest.mark.parametrize("count", [1, 7, 12])
def test_mfas_danet_and_its_file_agree(count: int, model_dir: Path, exported: Path) -> None:
    model, card = load_model(model_dir)
    check_parity(model, OnnxPredictor(exported), count, card.preprocess.size)


def test_family_heads_go_into_the_graph_and_a_graph_without_further_outputs_works(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from mfas.export.onnx_file import export_onnx

    model, names = tiny_model(), (Family.PRINT, Family.RIGID_MASK, Family.PARTIAL)
    torch.manual_seed(0)
    heads = FamilyHeads(fused_width(model), names, 4).eval()
    told = FamilyCard(names=names, hidden=4, way="post_hoc")
    plain = Card(model="mfas_danet", architecture=model.architecture.model_dump(mode="json"), preprocess=SPEC)
    export_onnx(model, plain, tmp_path / "plain")
    done = export_onnx(model, plain.model_copy(update={"families": told}), tmp_path / "heads", heads=heads)
    assert done.difference < 1e-4
    predictor, before = OnnxPredictor(tmp_path / "heads"), OnnxPredictor(tmp_path / "plain")
    for count in (1, 7):
        check_parity(model, predictor, count, SPEC.size, heads)
    some = batch(7, present=every_pattern())
    given = {m: x.numpy() for m, x in some.images.items()}, some.present.numpy()
    found, old = predictor.predict(*given), before.predict(*given)
    assert found.extras["families"].shape == (7, 3)
    assert set(old.extras) == {"residuals"}
    assert np.array_equal(found.score, old.score)

    def first_outputs_only(graph: onnx.ModelProto) -> None:
        del graph.graph.output[len(OUTPUTS) :]

    (tmp_path / "old").mkdir()
    older = OnnxPredictor(_with(tmp_path / "old", tmp_path / "plain" / "model.onnx", first_outputs_only))
    assert older.predict(*given).extras == {}
    assert np.array_equal(older.predict(*given).score, old.score)
    fewer = plain.model_copy(update={"families": told.model_copy(update={"names": names[:2]})})
    fewer.model_copy(update={"files": done.card.files}).write(tmp_path / "heads")
    with pytest.raises(ModelDirError, match="expected 2 families by its card"):
        OnnxPredictor(tmp_path / "heads")


def test_an_export_names_no_folder_of_the_machine_that_made_it(exported: Path) -> None:
    content = (exported / "model.onnx").read_bytes()
    assert b".py" not in content
    assert b"site-packages" not in content


def test_absent_pixels_are_never_read_and_a_modality_may_be_left_out(exported: Path) -> None:
    predictor, size = OnnxPredictor(exported), 48
    rgb = np.random.default_rng(0).normal(size=(2, 3, size, size)).astype(np.float32)
    present = np.array([[True, False, False]] * 2)
    plain = predictor.predict({Modality.RGB: rgb}, present)
    dirty = {Modality.RGB: rgb, Modality.IR: np.full((2, 1, size, size), np.nan, np.float32)}
    assert np.array_equal(plain.score, predictor.predict(dirty, present).score)
    images, mask = stack([{Modality.RGB: rgb[0]}, {Modality.RGB: rgb[1]}])
    assert np.array_equal(predictor.predict(images, mask).score, plain.score)


def test_input_that_no_answer_can_be_given_for_is_refused(exported: Path) -> None:
    predictor = OnnxPredictor(exported)
    rgb = np.zeros((1, 3, 48, 48), np.float32)
    with pytest.raises(InputError, match="at least one modality"):
        predictor.predict({Modality.RGB: rgb}, np.zeros((1, 3), bool))
    with pytest.raises(InputError, match="depth images, got none"):
        predictor.predict({Modality.RGB: rgb}, np.array([[True, True, False]]))
    with pytest.raises(InputError, match="finite rgb"):
        predictor.predict({Modality.RGB: rgb + np.nan}, np.array([[True, False, False]]))
    with pytest.raises(InputError, match=r"rgb as float32 \(1, 3, 48, 48\)"):
        predictor.predict({Modality.RGB: rgb[..., :40]}, np.array([[True, False, False]]))


def test_a_directory_without_a_sound_graph_is_refused(model_dir: Path, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelDirError, match="mfas export writes one"):
        OnnxPredictor(model_dir)
    (tmp_path / "model.onnx").write_bytes((exported / "model.onnx").read_bytes()[:-1] + b"\0")
    (tmp_path / "card.json").write_text((exported / "card.json").read_text())
    with pytest.raises(ModelDirError, match="does not match its card"):
        OnnxPredictor(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    digest = {"model.onnx": sha256(tmp_path / "model.onnx")}
    Card.read(tmp_path, verify=False).model_copy(update={"files": digest}).write(tmp_path)
    with pytest.raises(ModelDirError, match="not a model onnxruntime can run"):
        OnnxPredictor(tmp_path)


def _with(directory: Path, file: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """A model directory whose graph was changed, with the hash put right."""
    graph = onnx.load(file)
    change(graph)
    onnx.save(graph, directory / "model.onnx")
    card = Card.read(file.parent)
    card.model_copy(update={"files": {"model.onnx": sha256(directory / "model.onnx")}}).write(directory)
    return directory


def test_a_graph_that_lacks_a_modality_is_refused_by_its_name(exported: Path, tmp_path: Path) -> None:
    def rename(graph: onnx.ModelProto) -> None:
        for node in graph.graph.node:
            node.input[:] = ["infrared" if name == "ir" else name for name in node.input]
        next(i for i in graph.graph.input if i.name == "ir").name = "infrared"

    with pytest.raises(ModelDirError, match="expected input 'ir' in the graph"):
        OnnxPredictor(_with(tmp_path, exported / "model.onnx", rename))


def test_a_graph_of_another_operator_set_is_refused(exported: Path, tmp_path: Path) -> None:
    def future(graph: onnx.ModelProto) -> None:
        graph.opset_import[0].version = 99

    with pytest.raises(ModelDirError, match="not a model onnxruntime can run"):
        OnnxPredictor(_with(tmp_path, exported / "model.onnx", future))


def test_a_card_of_another_size_is_refused(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes((exported / "model.onnx").read_bytes())
    card = Card.read(exported)
    other = card.model_copy(update={"preprocess": card.preprocess.model_copy(update={"size": 64})})
    other.model_copy(update={"files": {"model.onnx": sha256(tmp_path / "model.onnx")}}).write(tmp_path)
    with pytest.raises(ModelDirError, match=r"expected rgb as \[3, 64, 64\] by its card, got \[3, 48, 48\]"):
        OnnxPredictor(tmp_path)
