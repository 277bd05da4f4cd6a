"""From (site, seed, index) to three images: the plan of a presentation, its motion, its rendering."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfas.core import Label, Modality
from mfas.errors import InputError
from mfas.simulation.fault_draws import Drawn, draw_faults
from mfas.simulation.faults import moved, overexposed, overexposed_ir, smudged, unlit, with_holes
from mfas.simulation.geometry import Floats, rotation
from mfas.simulation.heads import HeadSource, ParametricHead
from mfas.simulation.heads.base import generator, seed_of
from mfas.simulation.motion import face_at, pose_at
from mfas.simulation.raster import Camera
from mfas.simulation.scene import Part, View, render
from mfas.simulation.shading import Light
from mfas.simulation.site import Background, Site
from mfas.simulation.species import ATTACKS, LIVE
from mfas.simulation.stage import Moment, Prop, Stage
from mfas.simulation.surroundings import backdrop, draw_light, scenery_of

_GOLDEN = 0.6180339887498949
_SPLITS = ("train", "train", "train", "validation", "test")
FRAME_SECONDS = 0.2
FACE_FORWARD_MM = 85.0
"""How far the face lies before the origin of head coordinates; a site's distance is to the face."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Who shows what: all that is known of a presentation before it is rendered."""

    number: int
    presentation_id: str
    label: Label
    species: str
    subject: str
    presenter: str
    split: str
    quality: float
    timestamp: float


@dataclass(frozen=True, slots=True)
class Capture:
    """One instant: ``rgb`` uint8 (S, S, 3), ``depth`` uint16 (S, S) counts with 0 = hole, ``ir`` (S, S).

    A count of depth is the sensor's ``unit_mm``; infrared is uint8 or uint16 as the camera's ``bits`` say.

    ``box`` = x, y, w, h of the face in pixels as a detector gives it. ``view`` is the truth the sensors saw.
    ``missing`` are the modalities that dropped out: their images are what nobody received. ``faults`` are the names of
    what befell the capture.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.uint16]
    ir: NDArray[Any]
    box: tuple[int, int, int, int]
    view: View
    missing: frozenset[Modality] = frozenset()
    faults: tuple[str, ...] = ()


def plan(site: Site, seed: int, number: int) -> Plan:
    """The plan of presentation ``number`` (0, 1, ...) of ``site`` under ``seed``; depends on nothing else.

    Labels and species follow a low-discrepancy sequence, so that any run of numbers holds close to the site's shares.
    """
    rng = generator("plan", site.name, seed, number)
    phase = generator("phase", site.name, seed).random(2)
    share = site.bona_fide_share
    before, after = np.floor(number * share + phase[0]), np.floor((number + 1) * share + phase[0])
    live = bool(after > before)
    subject = int(rng.integers(site.subjects))
    group = [i for i in range(site.subjects) if split_of(i) == split_of(subject) and i != subject]
    presenter = subject if live or not group else int(rng.choice(group))
    species, quality = "", 1.0
    if not live:
        attack = number - int(before)
        species, quality = _species(site, float((attack * _GOLDEN + phase[1]) % 1.0), rng)
    return Plan(
        number=number,
        presentation_id=f"{site.name}-p{seed_of('presentation', site.name, seed, number):016x}",
        label=Label.BONA_FIDE if live else Label.ATTACK,
        species=species,
        subject=subject_name(site, subject),
        presenter="" if live else subject_name(site, presenter),
        split=split_of(subject),
        quality=quality,
        timestamp=round(float(rng.uniform(0, 7 * 86400)), 3),
    )


def time_of(who: Plan, frame: int) -> float:
    """Seconds of stream time at which ``frame`` of a presentation is taken."""
    return who.timestamp + frame * FRAME_SECONDS


def subject_name(site: Site, number: int) -> str:
    """The id of a person of a site."""
    return f"{site.name}-s{number:03d}"


def split_of(subject: int) -> str:
    """The split that person ``subject`` of any site belongs to."""
    return _SPLITS[(subject * 3 + subject // 5) % 5]


def _species(site: Site, at: float, rng: np.random.Generator) -> tuple[str, float]:
    total = 0.0
    names = sorted(site.species)
    for name in names:
        total += site.species[name].share
        if at < total or name == names[-1]:
            return name, float(rng.uniform(*site.species[name].quality))
    raise AssertionError("unreachable: a site has at least one species")


def tone_of(site: Site, subject: str) -> int:
    """Fitzpatrick grade 0 to 5 of a person, by the site's population."""
    weights = np.array(site.population.tones, float)
    return int(generator("tone", subject).choice(6, p=weights / weights.sum()))


def render_presentation(
    site: Site, seed: int, number: int, frame: int, *, head: HeadSource | None = None
) -> tuple[Plan, Capture]:
    """Capture ``frame`` of presentation ``number``; the same arguments give the same pixels.

    ``head`` replaces the people; a source that is one scanned person serves live subjects.
    """
    who, stage, prop = _prepared(site, seed, number, head or PARAMETRIC)
    drawn = draw_faults(
        site.faults, site.name, seed, number, frame, timestamp=time_of(who, frame), size=site.resolution
    )
    return who, capture_of(stage, prop, who.species, frame, drawn)


def capture_of(stage: Stage, prop: Prop, species: str, frame: int, drawn: Drawn, *, supersample: int = 2) -> Capture:
    """What the sensors of the stage's site deliver of ``prop`` at ``frame``; ``supersample`` as `scene.render`."""
    first = _moment(stage, prop, species, 0)
    moment = first if frame == 0 else _moment(stage, prop, species, frame)
    camera = _camera(stage, prop, first)
    light = draw_light(stage.site, stage.rng("light"), stage.choose)
    behind = first.offset[2] + stage.rng("wall").uniform(*stage.site.background.distance_mm)
    wall = _wall(stage, behind, 1.6 * camera.size / camera.focal * behind + 2 * abs(first.offset[0]))
    view = render([*prop.parts(moment), wall], camera, light, supersample=supersample)
    rgb, depth, ir = _expose(stage, view, camera, light, frame, drawn)
    box = _box(stage, camera, prop, moment, frame)
    return Capture(rgb, depth, ir, box, view, drawn.dropped, drawn.names)


PARAMETRIC = ParametricHead()
"""Where people come from unless a source is named."""


_RECENT: OrderedDict[tuple[int, int, int, int], tuple[Site, HeadSource, Plan, Stage, Prop]] = OrderedDict()


def _prepared(site: Site, seed: int, number: int, source: HeadSource) -> tuple[Plan, Stage, Prop]:
    """Plan, stage and prop; the last few are kept, since the frames of a clip share them."""
    key = (id(site), seed, number, id(source))
    if key in _RECENT:
        return _RECENT[key][2:]
    who = plan(site, seed, number)
    if who.label is Label.ATTACK and not source.serves_attacks:
        raise InputError(
            f"expected a site with bona_fide_share 1 for the {source.name} head, which only serves live subjects"
        )
    presenter = who.presenter or who.subject
    stage = Stage(
        site=site,
        source=source,
        subject=who.subject,
        presenter=presenter,
        tone=tone_of(site, who.subject),
        presenter_tone=tone_of(site, presenter),
        quality=who.quality,
        seed=("presentation", site.name, seed, number),
    )
    species = LIVE if who.label is Label.BONA_FIDE else ATTACKS[who.species]
    prop = species.prepare(stage)
    _RECENT[key] = (site, source, who, stage, prop)
    while len(_RECENT) > 4:
        _RECENT.popitem(last=False)
    return who, stage, prop


_WALLS: OrderedDict[tuple[tuple[object, ...], Background], Floats] = OrderedDict()


def _wall(stage: Stage, behind: float, across: float) -> Part:
    key = stage.seed, stage.site.background
    if key not in _WALLS:
        _WALLS[key] = scenery_of(stage.site, stage.rng("backdrop"))
        while len(_WALLS) > 4:
            _WALLS.popitem(last=False)
    return backdrop(_WALLS[key], behind_mm=behind, across_mm=across)


def _distance(stage: Stage, prop: Prop) -> float:
    """Where the artefact is held: a small face is brought nearer, down to what the place allows."""
    low, high = stage.site.distance_mm
    distance = stage.choose("distance_mm", stage.rng("distance").uniform(low, high))
    return float(distance * np.clip((prop.face_mm / 180) ** 0.6, 0.8, 1.05))


def _moment(stage: Stage, prop: Prop, species: str, frame: int) -> Moment:
    seconds = frame * FRAME_SECONDS
    angles, shift = pose_at(stage, species, seconds)
    turn = rotation(float(angles[0]), float(angles[1]), float(angles[2]))
    away = _distance(stage, prop) + FACE_FORWARD_MM + float(shift[2])
    return Moment(turn, (float(shift[0]), float(shift[1]), away), face_at(stage, seconds))


def _camera(stage: Stage, prop: Prop, first: Moment) -> Camera:
    """The crop a detector asks for at the ``first`` frame: the face has the site's height, near the middle."""
    rng = stage.rng("framing")
    size = stage.site.resolution
    points = prop.face_points(first)
    spread = points[:, :2] / points[:, 2:3]
    height = float(spread[:, 1].max() - spread[:, 1].min())
    focal = rng.uniform(*stage.site.face_fraction) * size / max(height, 1e-3)
    middle = (spread.max(axis=0) + spread.min(axis=0)) / 2
    jitter = rng.normal(0, 0.025, 2) * size
    return Camera(float(focal), size / 2 - focal * float(middle[0]) + float(jitter[0]),
                  size / 2 - focal * float(middle[1]) + float(jitter[1]), size)  # fmt: skip


def _expose(
    stage: Stage, view: View, camera: Camera, light: Light, frame: int, drawn: Drawn
) -> tuple[NDArray[np.uint8], NDArray[np.uint16], NDArray[Any]]:
    """Colour, depth and infrared as the three sensors deliver them, with the faults drawn."""
    site, dirt = stage.site, drawn.dirt.get
    colour = overexposed(site.rgb, drawn.jumps.get(Modality.RGB, 1.0))
    rgb = colour.expose(smudged(view.rgb, dirt(Modality.RGB)), stage.rng(f"rgb{frame}"), stage.rng("rgb"))
    infrared, active = overexposed_ir(site.nir, drawn.jumps.get(Modality.IR, 1.0)), view.active
    if drawn.residual is not None:
        infrared, active = unlit(infrared, active, drawn.residual)
    active, passive = (smudged(part, dirt(Modality.IR)) for part in (active, view.passive))
    ir: NDArray[Any] = infrared.expose(active, passive, stage.rng(f"ir{frame}"), stage.rng("ir"))
    sun = float(np.mean(site.nir.ambient)) * float(light.key[0] + light.ambient[0])
    z = smudged(view.z, dirt(Modality.DEPTH), passes=0)
    signal = smudged(view.active, dirt(Modality.DEPTH), passes=2)
    depth = site.depth.measure(z, signal, view.facing, view.gloss, sun, camera.focal, stage.rng(f"depth{frame}"))
    depth = with_holes(moved(depth, drawn.moves.get(Modality.DEPTH), nearest=True), drawn.holes)
    return rgb, depth, moved(ir, drawn.moves.get(Modality.IR), nearest=False)


def _box(stage: Stage, camera: Camera, prop: Prop, moment: Moment, frame: int) -> tuple[int, int, int, int]:
    """The face box of a detector that errs by the site's jitter, the same way for all that is shown."""
    points = camera.project(prop.face_points(moment))
    low, high = points.min(axis=0), points.max(axis=0)
    rng = stage.rng(f"box{frame}")
    side = float(high[1] - low[1])
    height = side * float(np.exp(stage.site.box_jitter * rng.standard_normal()))
    width = height * 0.8
    centre = (low + high) / 2 + stage.site.box_jitter * side * rng.standard_normal(2) * 0.6
    x0, y0 = max(0.0, float(centre[0]) - width / 2), max(0.0, float(centre[1]) - height / 2)
    x1, y1 = min(camera.size, float(centre[0]) + width / 2), min(camera.size, float(centre[1]) + height / 2)
    return round(x0), round(y0), max(1, round(x1 - x0)), max(1, round(y1 - y0))
