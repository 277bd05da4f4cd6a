"""A screen that plays the victim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mfas.simulation.geometry import Floats, Mesh, rotation, sheet
from mfas.simulation.scene import Part
from mfas.simulation.species._corneas import corneas
from mfas.simulation.species._paper import HeldSheet, hands, presenter, presenter_head, presenter_spectacles
from mfas.simulation.species._portrait import SIZE, portrait
from mfas.simulation.species._spectacles import put, survey
from mfas.simulation.stage import Moment, Prop, Stage, head_part, plain, torso


@dataclass(frozen=True, slots=True)
class Device:
    """A screen size in mm, its frame, and how often it is used."""

    width: float
    height: float
    frame: float
    weight: float


_PHONE, _TABLET, _LAPTOP = Device(68, 148, 4, 0.35), Device(160, 230, 10, 0.4), Device(300, 190, 12, 0.25)


@dataclass(frozen=True, slots=True)
class ScreenProp:
    """A screen in its frame, held by a person or standing alone."""

    sheet: HeldSheet
    frame: Mesh
    frame_texture: Floats
    face_mm: float
    exponent: float

    def parts(self, moment: Moment) -> Sequence[Part]:
        """Screen, frame, hands, person behind."""
        held = self.sheet
        out = [
            Part("screen", moment.put(held.sheet), held.texture, emissive=True, two_sided=True, exponent=self.exponent),
            Part("frame", moment.put(self.frame), self.frame_texture, two_sided=True, exponent=80.0),
        ]
        if held.hands:
            out += hands(held.stage, self.frame, moment)
        if held.person:
            x, y, z = moment.offset
            aside = Moment(moment.turn, (x, y, z + held.behind_mm), moment.face)
            out += [head_part(presenter(held.stage, moment), aside), torso(held.stage, aside, held.stage.presenter)]
            out += put((*held.worn, *corneas(held.eyes, moment.face)), aside)
        return out

    def face_points(self, moment: Moment) -> Floats:
        """Corners of the shown face."""
        return self.sheet.face_points(moment)


class _Replay:
    """A screen shows the victim.

    Quality 0: the face fills a small screen whose frame is in the picture, too bright or too dark, with moire and
    refresh bands, held so that lamp and emitter mirror in it. Quality 1: a small face on a large screen whose frame
    stays outside the picture, brightness matched, hardly any moire, tilted out of the mirror's direction.
    """

    name = "replay"
    black_level = 0.02
    saturation = 1.0
    devices: tuple[Device, ...] = (_PHONE, _TABLET, _LAPTOP)

    def prepare(self, stage: Stage) -> Prop:
        """Show the victim on a device and hold it up."""
        rng = stage.rng("screen")
        careless = 1 - stage.quality
        odds = np.array([d.weight * (1 + 2 * stage.quality * (d.width > 100)) for d in self.devices])
        device = self.devices[int(rng.choice(len(self.devices), p=odds / odds.sum()))]
        aspect = device.width / device.height
        fraction = careless * rng.uniform(0.46, 0.62) + stage.quality * rng.uniform(0.34, 0.44)
        photo = portrait(stage, fraction)
        rows, columns = photo.cropped(aspect)
        picture = photo.rgb[rows, columns]
        height, width = picture.shape[:2]
        face_mm = fraction * SIZE / height * device.height
        texture = self._emission(picture, stage)
        screen = sheet(device.width, device.height, steps=9)
        frame = sheet(device.width + 2 * device.frame, device.height + 2 * device.frame, steps=9)
        u0, v0, u1, v1 = photo.box
        box = ((u0 * SIZE - columns.start) / width, (v0 * SIZE - rows.start) / height,
               (u1 * SIZE - columns.start) / width, (v1 * SIZE - rows.start) / height)  # fmt: skip
        away = stage.choose("turned_away_deg", rng.choice([-1, 1]) * rng.uniform(6, 13) * stage.quality)
        tilt = rotation(rng.normal(0, 6), away + rng.normal(0, 3 + 4 * careless), rng.normal(0, 3))
        for mesh, front in ((screen, 1.0), (frame, 0.0)):
            mesh.vertices[:, 2] += 85 + front
            mesh.vertices[:] = mesh.vertices @ tilt.T
        held = HeldSheet(stage, screen, texture, box, face_mm, False, behind_mm=rng.uniform(60, 320),
                         hands=device is not _LAPTOP and rng.random() < 0.8, person=device is not _LAPTOP,
                         worn=presenter_spectacles(stage), eyes=survey(presenter_head(stage)))  # fmt: skip
        dark = rng.uniform(0.01, 0.06) if rng.random() < 0.75 else rng.uniform(0.3, 0.7)
        exponent = rng.uniform(30, 90) if self.matt(stage) else rng.uniform(900, 3000)
        return ScreenProp(held, frame, plain((dark, dark, dark), rng.uniform(0.03, 0.2), 0.1), face_mm, exponent)

    def _emission(self, picture: Floats, stage: Stage) -> Floats:
        """Light of the screen (h, w, 6): tone, black level, moire of two pixel grids, refresh bands."""
        rng = stage.rng("pixels")
        careless = 1 - stage.quality
        level = stage.choose("brightness", float(np.exp(0.05 + rng.normal(0, 0.06 + 0.32 * careless))))
        tone = picture * 2.2
        grey = tone.mean(axis=2, keepdims=True)
        tone = grey + (tone - grey) * self.saturation * rng.uniform(0.92, 1.08)
        tint = np.array([rng.uniform(0.9, 1.03), 1.0, rng.uniform(0.98, 1.14)])
        light = np.clip(tone, 0, 1) * tint * level + self.black_level * level
        y, x = np.mgrid[: light.shape[0], : light.shape[1]].astype(np.float32)
        strength = stage.choose("moire", 0.012 + 0.11 * careless * rng.uniform(0.3, 1))
        for channel in range(3):
            fx, fy = rng.normal(0, 0.09, 2)
            wave = np.sin(2 * np.pi * (fx * x + fy * y) + rng.uniform(0, 6))
            light[..., channel] *= 1 + strength * wave
        bands = stage.choose("bands", rng.uniform(0.02, 0.08) * careless)
        light *= (1 + bands * np.sin(y * rng.uniform(0.02, 0.09) + rng.uniform(0, 6)))[..., None]
        glass = np.full(light.shape[:2], stage.choose("screen_ir", rng.uniform(0.03, 0.09)))
        mirror = rng.uniform(0.35, 0.8) * (0.5 if self.matt(stage) else 1.0)
        shine = np.full(light.shape[:2], stage.choose("shine", mirror))
        texture = np.dstack([np.clip(light, 0, None), glass, shine, np.ones_like(glass)])
        return np.ascontiguousarray(texture, dtype=np.float32)

    @staticmethod
    def matt(stage: Stage) -> bool:
        """Whether the screen scatters reflections (anti-glare) instead of mirroring them."""
        return bool(stage.rng("glare").random() < 0.3)


class ReplayLcd(_Replay):
    """A liquid-crystal screen: raised black level, duller colour."""

    name = "replay_lcd"
    black_level = 0.03
    saturation = 0.92


class ReplayOled(_Replay):
    """An OLED screen: true black, rich colour, phones first."""

    name = "replay_oled"
    black_level = 0.002
    saturation = 1.12
    devices = (Device(70, 152, 3, 0.7), Device(165, 235, 8, 0.3))
