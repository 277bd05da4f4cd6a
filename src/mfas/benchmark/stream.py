"""A stream as a value: which captures arrive, in which order, and what happens to each on the way.

`compose` is a pure function of recipe, columns of the manifests and seed. It looks at labels, to draw shares and to let
attackers act; what leaves it towards an adapter are images and identities without any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mfas.benchmark.stream_recipe import StreamRecipe
from mfas.benchmark.stream_schedule import correlated_order, site_schedule
from mfas.core import MODALITIES, Label, Modality
from mfas.errors import ConfigError

ATTACK_UP_TO = 0.5
"""Share of a live face in a blend up to which the blend still counts as an attack; beyond, it counts as neither."""


@dataclass(frozen=True, slots=True)
class NoiseEdit:
    """Every sensor shows noise instead of the capture."""

    seed: int


@dataclass(frozen=True, slots=True)
class BlendEdit:
    """The capture's pixels moved by ``share`` in [0, 1] towards those of row ``other``."""

    other: int
    share: float


Edit = NoiseEdit | BlendEdit | None


@dataclass(frozen=True, slots=True)
class StreamItem:
    """One arriving capture: ``row`` of the columns, sensors that fail, what is done to its pixels.

    ``visit`` counts how often the presentation has come before; ``presentation`` numbers approaches in order.
    """

    row: int
    drop: frozenset[Modality] = frozenset()
    edit: Edit = None
    visit: int = 0
    presentation: int = 0


@dataclass(frozen=True, slots=True)
class StreamColumns:
    """What a recipe may see: one entry per capture that may be drawn.

    ``order`` sorts the captures of a presentation; ``present`` bool ``[N, 3]`` with the imposed pattern already taken
    away; ``score`` ``[N]`` of the unadapted model, read by ``repeat_missed`` and ``poisoned`` alone. ``sites`` is the
    order of sites.
    """

    presentation: NDArray[np.str_]
    subject: NDArray[np.str_]
    site: NDArray[np.str_]
    label: NDArray[np.str_]
    species: NDArray[np.str_]
    order: NDArray[np.float64]
    present: NDArray[np.bool_]
    score: NDArray[np.float64]
    sites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Clip:
    """A presentation: its rows in clip order."""

    name: str
    subject: str
    site: str
    attack: bool
    species: str
    rows: tuple[int, ...]
    score: float


@dataclass(frozen=True, slots=True)
class _Approach:
    """A clip on its way into the stream."""

    clip: _Clip
    edit: Edit = None
    partner: _Clip | None = None
    share: float = 0.0


def compose(recipe: StreamRecipe, columns: StreamColumns, seed: int) -> tuple[StreamItem, ...]:
    """The stream. Raises `ConfigError` when the columns do not hold enough presentations of a class."""
    rng = np.random.default_rng(seed)
    clips = _clips(columns)
    draw = _draw_once_each if recipe.transition else _draw
    approaches = draw(recipe, clips, columns.sites, rng)
    if recipe.correlated is not None:
        kinds = [_kind(approach.clip, recipe.correlated.by == "species") for approach in approaches]
        order = correlated_order(kinds, recipe.correlated.concentration, recipe.correlated.slots, rng)
        approaches = [approaches[i] for i in order]
    if recipe.poisoned:
        approaches = _poisoned(recipe, approaches, clips)
    if recipe.repeat_missed:
        approaches = _repeated(recipe, approaches, clips, rng)
    if recipe.creep:
        approaches = _creeping(approaches, clips, rng)
    if recipe.noise is not None:
        approaches = _noisy(recipe, approaches, rng)
    return _items(recipe, approaches * recipe.passes, columns, rng)


def arrivals(
    items: Sequence[StreamItem], heard: NDArray[np.int64], recipe: StreamRecipe
) -> list[tuple[NDArray[np.int64], bool]]:
    """Batches as places out of ``heard`` (ascending), and whether the method starts anew before each.

    Batches are full until the end of the stream, or of an episode where the recipe has episodes.
    """
    if not recipe.episode or not len(heard):
        episodes = [heard]
    else:
        number = np.array([items[i].presentation // recipe.episode for i in heard])
        episodes = np.split(heard, np.flatnonzero(np.diff(number)) + 1)
    size = recipe.batch_size
    return [
        (own[start : start + size], episode > 0 and start == 0)
        for episode, own in enumerate(episodes)
        for start in range(0, len(own), size)
    ]


def truth(item: StreamItem, label: str) -> str:
    """The label an arriving capture is judged by: its own, or ``""`` where it no longer has one.

    Noise is neither class; a blend is an attack up to `ATTACK_UP_TO`.
    """
    if isinstance(item.edit, NoiseEdit):
        return ""
    return "" if isinstance(item.edit, BlendEdit) and item.edit.share > ATTACK_UP_TO else label


def _clips(columns: StreamColumns) -> list[_Clip]:
    names, group = np.unique(columns.presentation, return_inverse=True)
    by_clip = np.lexsort((columns.order, group))
    clips = []
    for name, rows in zip(names, np.split(by_clip, np.cumsum(np.bincount(group))[:-1]), strict=True):
        first = rows[0]
        clips.append(
            _Clip(
                str(name),
                str(columns.subject[first]),
                str(columns.site[first]),
                columns.label[first] == Label.ATTACK.value,
                str(columns.species[first]),
                tuple(rows.tolist()),
                float(np.mean(columns.score[rows])),
            )
        )
    return clips


def _draw(
    recipe: StreamRecipe, clips: list[_Clip], sites: tuple[str, ...], rng: np.random.Generator
) -> list[_Approach]:
    """Presentations in order: drawn without return, each class on its own, shuffled within a segment."""
    groups = [(name,) for name in sites] if recipe.every else [tuple(dict.fromkeys(sites))]
    size = recipe.every or recipe.captures
    queues = {
        (group, attack): [clips[i] for i in rng.permutation(len(clips)) if _fits(clips[i], group, attack)]
        for group in dict.fromkeys(groups)
        for attack in (False, True)
    }
    out: list[_Approach] = []
    for segment, start in enumerate(range(0, recipe.captures, size)):
        group = groups[segment % len(groups)]
        length = np.mean([len(clip.rows) for clip in clips if clip.site in group] or [1])
        count = max(1, round(min(size, recipe.captures - start) / float(length)))
        genuine = round(recipe.bona_fide_share * count)
        chosen = [
            clip
            for attack, wanted in ((False, genuine), (True, count - genuine))
            for clip in _take(queues[group, attack], wanted, group, attack)
        ]
        out += [_Approach(chosen[i]) for i in rng.permutation(len(chosen))]
    return out


def _draw_once_each(
    recipe: StreamRecipe, clips: list[_Clip], sites: tuple[str, ...], rng: np.random.Generator
) -> list[_Approach]:
    """Presentations whose sites follow `site_schedule`, classes shuffled over the whole stream."""
    names = tuple(dict.fromkeys(sites))
    length = np.mean([len(clip.rows) for clip in clips if clip.site in names] or [1])
    count = max(1, round(recipe.captures / float(length)))
    attack = rng.permutation(count) >= round(recipe.bona_fide_share * count)
    site = site_schedule(count, len(names), recipe.transition == "linear", rng)
    out: dict[int, _Approach] = {}
    for number, name in enumerate(names):
        for kind in (False, True):
            queue = [clips[i] for i in rng.permutation(len(clips)) if _fits(clips[i], (name,), kind)]
            places = np.flatnonzero((site == number) & (attack == kind)).tolist()
            taken = _take(queue, len(places), (name,), kind)
            out |= {place: _Approach(clip) for place, clip in zip(places, taken, strict=True)}
    return [out[place] for place in range(count)]


def _kind(clip: _Clip, by_species: bool) -> str:
    if not clip.attack:
        return Label.BONA_FIDE.value
    return f"{Label.ATTACK.value} {clip.species}" if by_species else Label.ATTACK.value


def _fits(clip: _Clip, group: tuple[str, ...], attack: bool) -> bool:
    return clip.site in group and clip.attack == attack


def _take(queue: list[_Clip], wanted: int, group: tuple[str, ...], attack: bool) -> list[_Clip]:
    if len(queue) < wanted:
        kind = Label.ATTACK.value if attack else Label.BONA_FIDE.value
        raise ConfigError(
            f"expected {wanted} more {kind} presentations of {', '.join(group)} for the stream, got {len(queue)}"
        )
    taken, queue[:] = queue[:wanted], queue[wanted:]
    return taken


def _poisoned(recipe: StreamRecipe, approaches: list[_Approach], clips: list[_Clip]) -> list[_Approach]:
    """The first attacks are the attacker's choice: of the tenth that is believed most at the site, the best first.

    Classes keep their places, so that nothing but the choice of attacks differs from the stream without poison.
    """
    best: dict[str, list[_Clip]] = {}
    for clip in sorted((c for c in clips if c.attack), key=lambda c: (-c.score, c.name)):
        best.setdefault(clip.site, []).append(clip)
    best = {site: own[: max(1, len(own) // 10)] for site, own in best.items()}
    places = [i for i, a in enumerate(approaches) if a.clip.attack]
    out, used = list(approaches), Counter[str]()
    for place in places[: round(recipe.poisoned * len(places))]:
        site = out[place].clip.site
        out[place] = replace(out[place], clip=best[site][used[site] % len(best[site])])
        used[site] += 1
    return out


def _repeated(
    recipe: StreamRecipe, approaches: list[_Approach], clips: list[_Clip], rng: np.random.Generator
) -> list[_Approach]:
    """The attack that the unadapted model believes most comes back in place of other attacks."""
    best: dict[str, _Clip] = {}
    for clip in clips:
        if clip.attack and (clip.site not in best or clip.score > best[clip.site].score):
            best[clip.site] = clip
    chance = rng.random(len(approaches))
    return [
        replace(a, clip=best[a.clip.site]) if a.clip.attack and chance[i] < recipe.repeat_missed else a
        for i, a in enumerate(approaches)
    ]


def _creeping(approaches: list[_Approach], clips: list[_Clip], rng: np.random.Generator) -> list[_Approach]:
    """The n-th of N attacks is blended by n / (N - 1) towards a live clip, of the claimed person where there is one."""
    places = [i for i, a in enumerate(approaches) if a.clip.attack]
    out = list(approaches)
    for step, place in enumerate(places):
        clip = out[place].clip
        live = [c for c in clips if not c.attack and c.site == clip.site]
        own = [c for c in live if c.subject == clip.subject] or live
        if not own:
            raise ConfigError(f"expected bona fide presentations of {clip.site} to creep towards, got none")
        out[place] = replace(out[place], partner=own[int(rng.integers(len(own)))], share=step / max(1, len(places) - 1))
    return out


def _noisy(recipe: StreamRecipe, approaches: list[_Approach], rng: np.random.Generator) -> list[_Approach]:
    assert recipe.noise is not None
    first, last = (round(x * len(approaches)) for x in (recipe.noise.start, recipe.noise.end))
    chosen = first + rng.permutation(last - first)[: round(recipe.noise.share * (last - first))]
    out = list(approaches)
    for place in chosen.tolist():
        out[place] = replace(out[place], edit=NoiseEdit(int(rng.integers(2**31))))
    return out


def _items(
    recipe: StreamRecipe, approaches: Sequence[_Approach], columns: StreamColumns, rng: np.random.Generator
) -> tuple[StreamItem, ...]:
    visits: Counter[str] = Counter()
    items: list[StreamItem] = []
    for number, approach in enumerate(approaches):
        clip = approach.clip
        for frame, row in enumerate(clip.rows):
            edit = approach.edit
            if isinstance(edit, NoiseEdit):
                edit = NoiseEdit(edit.seed + frame)
            elif approach.partner is not None:
                other = approach.partner.rows[frame % len(approach.partner.rows)]
                edit = BlendEdit(other, approach.share)
            drop = frozenset(recipe.covered) if clip.attack else frozenset[Modality]()
            drop |= _failing(recipe, columns.present[row], drop, rng)
            items.append(StreamItem(row, drop, edit, visits[clip.name], number))
        visits[clip.name] += 1
    return tuple(items)


def _failing(
    recipe: StreamRecipe, present: NDArray[np.bool_], covered: frozenset[Modality], rng: np.random.Generator
) -> frozenset[Modality]:
    """Each sensor fails on its own; of those that would have seen something, the luckiest stays."""
    if not recipe.failing_sensors:
        return frozenset()
    luck = rng.random(len(MODALITIES))
    seeing = [i for i, m in enumerate(MODALITIES) if present[i] and m not in covered]
    failed = {i for i in range(len(MODALITIES)) if luck[i] < recipe.failing_sensors}
    if seeing and failed.issuperset(seeing):
        failed.discard(max(seeing, key=lambda i: luck[i]))
    return frozenset(MODALITIES[i] for i in failed)
