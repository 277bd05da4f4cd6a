"""What masks and mannequins are made of, as against skin.

Skin scatters light in layers: melanin and blood vary from place to place (mottling, red cheeks and lips, freckles), it
is bright in near infrared whatever its tone (0.45 to 0.65, because melanin hardly absorbs there), and its highlights
are broad and weak. A coloured polymer, resin or plaster is one bulk material with paint on top: its colour is even
where nobody painted, its infrared reflectance is its pigments', its highlights are narrow and strong.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mfas.simulation.choices import Choose, as_drawn
from mfas.simulation.geometry import Floats
from mfas.simulation.heads import Head


def painted(
    victim: Head,
    rng: np.random.Generator,
    *,
    mottling: float,
    blur: float,
    cast: float,
    choose: Choose = as_drawn,
) -> Floats:
    """The victim's texture (h, w, 6) as somebody painted it.

    ``mottling`` in [0, 1] is how much of the skin's unevenness is there (features in strong contrast, such as brows and
    lips, are painted anyway), ``blur`` in texels the fineness of the brush, ``cast`` the error of the mixed colour.
    """
    texture = victim.texture.copy()
    skin = _skin(victim)
    base = np.median(texture[skin][:, :3], axis=0).astype(np.float32)
    away = texture[..., :3] / base - 1
    strong = np.clip((np.abs(away).mean(axis=2) - 0.2) / 0.35, 0, 1)
    share = mottling + (1 - mottling) * strong
    even = base * (1 + away * share[..., None])
    face = cv2.GaussianBlur(victim.regions["face"], (0, 0), 2.0)[..., None]
    rgb = texture[..., :3] + face * (even - texture[..., :3])
    # people mix flesh tones too pale or too dark, too pink or too yellow; nobody mixes green
    depth, warmth, odd = rng.standard_normal(3)
    depth, warmth = choose("paint_depth", depth), choose("paint_warmth", warmth)
    mixed = np.exp(cast * (1.3 * depth + warmth * np.array([0.5, -0.2, -0.6]) + odd * np.array([0, 0.2, -0.2])))
    mixed = mixed.astype(np.float32)
    texture[..., :3] = np.clip(cv2.GaussianBlur(rgb, (0, 0), max(0.2, blur)) * mixed, 0.005, 0.9)
    return texture


def infrared(
    victim: Head, rng: np.random.Generator, *, unlike: float, shown: float, choose: Choose = as_drawn
) -> Floats:
    """Near-infrared albedo (h, w) of a painted head.

    ``unlike`` in [0, 1] is how far the material's own reflectance is from skin's, towards that of a pigment drawn
    between carbon or iron oxide (dark) and titanium white (bright): some come near skin by chance. ``shown`` is how
    much of the features' contrast remains, since organic paints that are dark to the eye are clear in infrared.
    """
    skin = rng.uniform(0.48, 0.6)
    pigment = rng.uniform(0.15, 0.9)
    level = choose("albedo_ir", skin + unlike * (pigment - skin))
    shown = choose("ir_detail", shown)
    return np.asarray(np.clip(level * (1 + shown * (nir_detail(victim) - 1)), 0.05, 0.9), np.float32)


def nir_detail(victim: Head) -> Floats:
    """Infrared texture of the victim relative to the skin's (h, w), tamed to [0.4, 1.15]."""
    nir = victim.texture[..., 3]
    skin = float(np.median(nir[_skin(victim)]))
    return np.asarray(np.clip(nir / max(skin, 0.05), 0.4, 1.15), np.float32)


def _skin(victim: Head) -> NDArray[np.bool_]:
    """Where the texture (h, w) shows the face's skin, not teeth or eyeballs that lie beside it."""
    return np.asarray(victim.regions.get("skin", victim.regions["face"]) > 0.5)
