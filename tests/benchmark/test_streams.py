"""Streams as values: what is drawn, in which order, and what happens to it on the way."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from commands import mfas
from mfas.benchmark.bench_rows import PROBE, STREAM, SiteRows
from mfas.benchmark.stream import BlendEdit, NoiseEdit, StreamColumns, StreamItem, arrivals, compose, truth
from mfas.benchmark.stream_recipe import StreamRecipe, expand_sites, load_recipe, recipe_names
from mfas.core import MODALITIES, Modality
from mfas.errors import ConfigError
from mfas.simulation import load_site

CLIP = 3


def columns(clips: int = 400, sites: tuple[str, ...] = ("a",), present: list[bool] | None = None) -> StreamColumns:
    """Clips of three captures at each site, half of them attacks, rows in no order; later attacks score higher."""
    rows = np.random.default_rng(0).permutation(clips * CLIP * len(sites))
    clip = rows // CLIP
    return StreamColumns(
        presentation=np.array([f"p{i}" for i in clip]),
        subject=np.array([f"s{i // 4}" for i in clip]),
        site=np.array([sites[i // clips] for i in clip]),
        label=np.array(["attack" if i % 2 else "bona_fide" for i in clip]),
        species=np.array([f"mask_{i % 6}" if i % 2 else "" for i in clip]),
        order=(rows % CLIP).astype(float),
        present=np.tile(np.array([True] * 3 if present is None else present), (len(rows), 1)),
        score=clip / (clips * len(sites)),
        sites=sites,
    )


def attacks(items: tuple[StreamItem, ...], drawn: StreamColumns) -> list[StreamItem]:
    return [item for item in items if drawn.label[item.row] == "attack"]


def sites_of(name: str) -> tuple[str, ...]:
    return {"recurring": tuple("abcd"), "continual": tuple("abcd"), "gradual": ("a", "b")}.get(name, ("a",))


@pytest.mark.parametrize("name", recipe_names())
def test_a_seed_gives_one_stream_and_another_seed_another(name: str) -> None:
    recipe, drawn = load_recipe(name), columns(800, sites_of(name))
    assert compose(recipe, drawn, 3) == compose(recipe, drawn, 3)
    assert compose(recipe, drawn, 3) != compose(recipe, drawn, 4)


@pytest.mark.parametrize("name", recipe_names())
def test_clips_arrive_whole_in_order_and_shares_are_met(name: str) -> None:
    recipe, drawn = load_recipe(name), columns(800, sites_of(name))
    items = compose(recipe, drawn, 1)
    assert len(items) % CLIP == 0
    for start in range(0, len(items), CLIP):
        clip = items[start : start + CLIP]
        assert len({(drawn.presentation[i.row], i.visit, i.presentation) for i in clip}) == 1
        assert [drawn.order[i.row] for i in clip] == [0, 1, 2]
    assert abs(len(items) / recipe.passes - recipe.captures) <= 2 * CLIP
    assert 1 - len(attacks(items, drawn)) / len(items) == pytest.approx(recipe.bona_fide_share, abs=0.01)
    again = Counter((drawn.presentation[i.row], i.visit) for i in items)
    assert set(again.values()) == {CLIP}, "a clip that comes again is another visit"


def test_noise_stands_in_its_part_of_the_stream_only_and_has_no_truth() -> None:
    items = compose(load_recipe("noise"), columns(), 0)
    noisy = [i for i, item in enumerate(items) if isinstance(item.edit, NoiseEdit)]
    assert max(noisy) < len(items) / 3 + CLIP
    assert len(noisy) == pytest.approx(0.4 * len(items) / 3, rel=0.05)
    assert truth(items[noisy[0]], "attack") == ""
    assert truth(items[-1], "attack") == "attack"


def test_creeping_attacks_grow_towards_a_live_face_of_the_same_person() -> None:
    drawn = columns()
    creeping = attacks(compose(load_recipe("creep"), drawn, 0), drawn)
    edits = [item.edit for item in creeping if isinstance(item.edit, BlendEdit)]
    shares = [edit.share for edit in edits]
    assert len(edits) == len(creeping)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    for item, edit in zip(creeping, edits, strict=True):
        assert drawn.label[edit.other] == "bona_fide"
        assert drawn.subject[edit.other] == drawn.subject[item.row]
        assert truth(item, "attack") == ("attack" if edit.share <= 0.5 else "")


def test_the_best_scored_attack_comes_back() -> None:
    drawn = columns()
    items = attacks(compose(load_recipe("repeat_missed"), drawn, 0), drawn)
    named = Counter(str(drawn.presentation[item.row]) for item in items)
    best, count = named.most_common(1)[0]
    assert best == "p399"
    assert count == pytest.approx(len(items) / 2, rel=0.2)


def test_sensors_fail_at_their_rate_and_one_is_left() -> None:
    recipe = load_recipe("failing_sensors")
    items = compose(recipe, columns(), 0)
    assert all(len(item.drop) < 3 for item in items)
    rate = sum(len(item.drop) for item in items) / (3 * len(items))
    assert rate == pytest.approx(0.3 - 0.3**3 / 3, abs=0.03)
    lone = compose(recipe, columns(present=[True, False, False]), 0)
    assert not any(Modality.RGB in item.drop for item in lone), "what the pattern took away cannot be the one left"


def test_only_attackers_cover_a_sensor() -> None:
    drawn = columns()
    for item in compose(load_recipe("covered_depth"), drawn, 0):
        assert item.drop == ({Modality.DEPTH} if drawn.label[item.row] == "attack" else set())


def test_sites_follow_each_other_and_come_back() -> None:
    drawn = columns(400, ("a", "b", "c", "d"))
    items = compose(load_recipe("recurring"), drawn, 0)
    visited = [str(drawn.site[item.row]) for item in items]
    changes = [visited[0]] + [b for a, b in pairwise(visited) if a != b]
    assert changes == ["a", "b", "c", "d", "a"]
    assert all(abs(visited[:1000].count(name) - 250) <= CLIP for name in "abcd")


def test_a_continual_stream_visits_every_site_once() -> None:
    drawn = columns(400, ("a", "b", "c", "d"))
    visited = [str(drawn.site[item.row]) for item in compose(load_recipe("continual"), drawn, 0)]
    assert [visited[0]] + [b for a, b in pairwise(visited) if a != b] == ["a", "b", "c", "d"]
    assert all(abs(visited.count(name) - 250) <= CLIP for name in "abcd")


def test_a_gradual_stream_goes_over_from_the_first_site_to_the_second() -> None:
    drawn = columns(600, ("a", "b"))
    items = compose(load_recipe("gradual"), drawn, 0)
    second = np.array([str(drawn.site[item.row]) == "b" for item in items])
    thirds = [part.mean() for part in np.array_split(second, 3)]
    assert thirds == pytest.approx([1 / 6, 1 / 2, 5 / 6], abs=0.1)
    assert expand_sites(load_recipe("gradual"), "t", ("b", "c")) == ("b", "t")


@pytest.mark.parametrize(("concentration", "few"), [(0.1, True), (1000.0, False)])
def test_presentations_of_a_species_come_in_clumps(concentration: float, few: bool) -> None:
    """Runs of one kind: far fewer than in an even deal over the slots, where each slot holds each of seven kinds."""
    drawn = columns(800)
    recipe = load_recipe("correlated", {"correlated": {"concentration": concentration, "slots": 40}})
    kinds = [str(drawn.species[item.row]) for item in compose(recipe, drawn, 0)]
    species = len(set(kinds))
    runs = 1 + sum(a != b for a, b in pairwise(kinds))
    assert (runs < 0.6 * 40 * species) == few


def test_the_first_attacks_are_chosen_among_the_most_believed_and_classes_keep_their_places() -> None:
    drawn = columns()
    plain, poisoned = (compose(load_recipe("poisoned", {"poisoned": share}), drawn, 0) for share in (0.0, 0.3))
    assert [drawn.label[i.row] for i in plain] == [drawn.label[i.row] for i in poisoned]
    chosen = attacks(poisoned, drawn)
    first = chosen[: CLIP * round(0.3 * len(chosen) / CLIP)]
    assert {int(str(drawn.presentation[i.row])[1:]) for i in first} == set(range(361, 400, 2)), "the best tenth of 200"
    assert [i.row for i in chosen[len(first) :]] == [i.row for i in attacks(plain, drawn)[len(first) :]]


def test_batches_end_with_their_episode() -> None:
    recipe = load_recipe("episodic", {"batch_size": 2, "captures": 30, "episode": 2})
    items = compose(recipe, columns(), 0)
    heard = np.array([i for i in range(len(items)) if i != 1])
    cut = arrivals(items, heard, recipe)
    assert [len(places) for places, _ in cut[:5]] == [2, 2, 1, 2, 2]
    assert [anew for _, anew in cut[:5]] == [False, False, False, True, False]
    assert np.concatenate([places for places, _ in cut]).tolist() == heard.tolist()


def test_what_is_listed_is_what_there_is() -> None:
    listed = mfas("benchmark", "--list-streams", "--json").json()
    assert tuple(listed) == recipe_names()
    assert all(listed.values())
    page = (Path(__file__).resolve().parents[2] / "docs" / "benchmark.md").read_text()
    table = page.split("Built in:")[1].split("\n\n")[1]
    assert set(re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in table.splitlines()))) == set(listed)


def test_a_stream_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected 323 more bona_fide presentations of a for the stream, got 20"):
        compose(load_recipe("door"), columns(40), 0)


def test_recipes_come_from_files_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("captures: 30\nnoise: {share: 0.2}\n")
    assert load_recipe(str(tmp_path / "own.yaml"), {"batch_size": 4}).batch_size == 4
    with pytest.raises(ConfigError, match="unknown stream 'dor', expected one of attack_only, balanced"):
        load_recipe("dor")
    with pytest.raises(ConfigError, match="unknown key 'bona_fide'"):
        load_recipe("door", {"bona_fide": 1})
    with pytest.raises(ValueError, match="at least one modality that is not covered"):
        StreamRecipe(covered=MODALITIES)


@pytest.mark.parametrize("sites", [("office",), ("office", "phone"), ("phone",)], ids=str)
def test_the_probe_holds_other_people_than_the_stream(sites: tuple[str, ...]) -> None:
    seen: dict[str, set[str]] = {STREAM: set(), PROBE: set()}
    for name in sites:
        rows = SiteRows.of_plan(name, load_site(name), 600, 0)
        roles = rows.roles("office", sites)
        for role, people in seen.items():
            people |= set(rows.subject[roles == role])
    assert seen[STREAM]
    assert seen[PROBE]
    assert not seen[STREAM] & seen[PROBE]
