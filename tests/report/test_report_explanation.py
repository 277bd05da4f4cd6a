"""The page of one explanation: what it says of signs, origins and bad maps, and where its colours fall."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mfas.core import Modality
from mfas.report import build_explanation
from mfas.report._overlay import overlay_uri
from pages import parse


def png(array):
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def pixels(uri):
    return np.asarray(Image.open(BytesIO(base64.b64decode(uri.partition(",")[2]))), dtype=float)


GREY = png(np.full((64, 64), 120, dtype=np.uint8))


def result(**changes):
    explanation = {
        "schema": 1, "present": "rgb,ir", "absent": "complements", "saliency": "integrated_gradients",
        "values": {"": 0.5, "rgb": 1.0, "ir": -2.0, "rgb,ir": -1.5},
        "empty": {"logit": 0.5, "kind": "source_mean", "captures": 40, "sources": ["dev_a"]},
        "phi": {"rgb": 0.5, "ir": -2.5}, "interactions": {"rgb,ir": 0.0},
        "influence": {"rgb": {"ir": 0.1}, "ir": {"rgb": 0.7}},
        "synergy": {"gap": 0.0, "top": "ir", "drop": 2.5},
        "stability": {"ratio": 0.2, "change": 0.02, "shift": 0.01, "noise": 0.02, "draws": 6},
        "deletion": {"mapped": 2.0, "random": 0.5, "beaten": 1.0},
    }  # fmt: skip
    return {
        "outcome": "scored", "score": 0.18, "threshold": 0.6, "decision": "attack", "model": "mfas_danet",
        "missing": "depth", "seed": 0, "settings": {"steps": 16}, "environment": {"python": "3"},
        "explanation": explanation | changes,
    }  # fmt: skip


def page(**changes):
    cells = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
    pictures = {Modality.RGB: png(np.full((64, 64, 3), 120, dtype=np.uint8)), Modality.IR: GREY}
    made = result(**changes)
    maps = {Modality.RGB: cells, Modality.IR: -cells}
    return build_explanation(made, pictures, {m: x for m, x in maps.items() if m in made["explanation"]["phi"]})


def test_the_page_says_who_spoke_for_what():
    html = page()
    assert "called an attack" in html
    assert "For the decision spoke IR (+2.50)." in html
    assert "Against it, or not at all, RGB (−0.50)." in html
    assert "40 source captures of dev_a" in html
    assert "without IR the decision loses +2.50 logits" in html
    parsed = parse(html)
    assert not parsed.faults
    assert len(parsed.references) == 4
    assert html == page()


def test_an_arbitrary_origin_and_worthless_maps_are_told():
    html = page(
        empty={"logit": 0.0, "kind": "zero_maps", "captures": 0, "sources": []},
        deletion={"mapped": 0.1, "random": 0.5, "beaten": 0.0},
        absent="as_missing",
    )
    assert "the origin is arbitrary" in html
    assert "Do not read anything into these maps." in html
    assert "no complements" in html
    assert "Do not read" not in page()


def test_a_single_sensor_has_nothing_to_share():
    html = page(interactions={}, influence={}, phi={"ir": -2.5}, values={"": 0.5, "ir": -2.0}, present="ir")
    assert 'id="together"' not in html
    assert "Against it" not in html


@pytest.mark.parametrize(("value", "bluer"), [(1.0, True), (-1.0, False)])
def test_colours_say_the_side(value, bluer):
    cells = np.zeros((4, 4), dtype=np.float32)
    cells[:2, :2] = value
    shown = pixels(overlay_uri(GREY, Modality.IR, cells, side=80))
    warm, cold = shown[5:20, 5:20, 0].mean(), shown[5:20, 5:20, 2].mean()
    assert (cold > warm + 50) if bluer else (warm > cold + 50)
    assert np.ptp(shown[70, 70]) < 12


def test_an_empty_map_leaves_the_picture_grey():
    shown = pixels(overlay_uri(GREY, Modality.IR, np.zeros((4, 4), dtype=np.float32), side=40))
    assert np.ptp(shown, axis=2).max() < 12
