from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfas.core import Label
from mfas.data.images import read_depth, read_ir, read_rgb
from mfas.data.manifest import Manifest, read_manifest
from mfas.errors import InputError
from mfas.simulation import ScannedHead, load_site, plan, render_presentation, simulate


def _bytes(manifest: Manifest) -> dict[str, bytes]:
    cells = [row.path(m) for row in manifest for m in row.modalities]
    return {cell: (manifest.root / cell).read_bytes() for cell in cells}


def test_writes_a_manifest_whose_images_can_be_read(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = simulate(load_site("office"), count=7, seed=1, out=tmp_path, progress=lambda *done: seen.append(done))
    manifest = read_manifest(path, require_labels=True)
    assert len(manifest) == 7
    assert seen[-1] == (7, 7)
    for row in manifest:
        rgb, ir = read_rgb(manifest.resolve(row.rgb)), read_ir(manifest.resolve(row.ir))
        depth = read_depth(manifest.resolve(row.depth), row.depth_scale_m)
        assert rgb.shape == (112, 112, 3)
        assert ir.shape == depth.shape == (112, 112)
        assert 0.3 < np.median(depth[depth > 0]) < 4
        x, y, w, h = (int(v) for v in row.box.split(","))
        assert 0 <= x < x + w <= 112
        assert 0 <= y < y + h <= 112
    for name in ("contact_sheet.png", "site.yaml", "simulation.json"):
        assert (tmp_path / name).is_file()


def test_a_site_written_out_gives_the_same_site(tmp_path: Path) -> None:
    site = load_site("kiosk")
    simulate(site, count=1, seed=0, out=tmp_path)
    assert load_site(tmp_path / "site.yaml") == site


def test_same_bytes_in_any_order_and_from_any_number_of_workers(tmp_path: Path) -> None:
    site = load_site("phone")
    one = _bytes(read_manifest(simulate(site, count=30, seed=5, out=tmp_path / "one")))
    two = _bytes(read_manifest(simulate(site, count=30, seed=5, out=tmp_path / "two", workers=2)))
    assert one == two
    backwards = [render_presentation(site, 5, n, f)[1] for n, f in ((3, 2), (1, 0), (3, 0))]
    forwards = [render_presentation(site, 5, n, f)[1] for n, f in ((3, 0), (1, 0), (3, 2))]
    for a, b in zip(backwards, reversed(forwards), strict=True):
        assert np.array_equal(a.rgb, b.rgb)
        assert np.array_equal(a.depth, b.depth)
        assert np.array_equal(a.ir, b.ir)
        assert a.box == b.box


def test_seeds_differ_but_people_stay(tmp_path: Path) -> None:
    site = load_site("office")
    first, second = render_presentation(site, 1, 0, 0)[1], render_presentation(site, 2, 0, 0)[1]
    assert not np.array_equal(first.rgb, second.rgb)


@pytest.mark.parametrize("name", ["office", "kiosk", "phone", "gate", "dev_a", "dev_b"])
def test_plans_keep_the_shares_and_the_splits(name: str) -> None:
    site = load_site(name)
    plans = [plan(site, 3, number) for number in range(600)]
    attacks = [p for p in plans if p.label is Label.ATTACK]
    assert len(attacks) == 300
    for species, mix in site.species.items():
        assert sum(p.species == species for p in attacks) / 300 == pytest.approx(mix.share, abs=0.02)
    splits: dict[str, set[str]] = {}
    for p in plans:
        splits.setdefault(p.subject, set()).add(p.split)
        if p.presenter:
            splits.setdefault(p.presenter, set()).add(p.split)
            assert p.presenter != p.subject
    assert all(len(found) == 1 for found in splits.values())
    assert sum(p.split == "train" for p in plans) / 600 == pytest.approx(0.6, abs=0.08)


def test_names_and_order_tell_nothing() -> None:
    site = load_site("office")
    plans = sorted((plan(site, 3, n) for n in range(400)), key=lambda p: p.timestamp)
    labels = np.array([p.label is Label.ATTACK for p in plans], float)
    assert abs(np.corrcoef(labels[1:], labels[:-1])[0, 1]) < 0.15
    by_name = np.array([p.label is Label.ATTACK for p in sorted(plans, key=lambda p: p.presentation_id)], float)
    assert abs(np.corrcoef(by_name[1:], by_name[:-1])[0, 1]) < 0.15
    assert not any(p.species and p.species in p.presentation_id for p in plans)


def test_frames_of_a_clip_move_a_little() -> None:
    site = load_site("office")
    first, second = (render_presentation(site, 1, 0, frame)[1] for frame in (0, 1))
    difference = np.abs(first.rgb.astype(int) - second.rgb.astype(int)).mean()
    other = np.abs(first.rgb.astype(int) - render_presentation(site, 1, 2, 0)[1].rgb.astype(int)).mean()
    assert 0 < difference < other


def test_a_scanned_head_is_a_live_subject(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "head_scan"
    head = ScannedHead(folder / "LeePerrySmith.glb", folder / "color.jpg")
    site = load_site("kiosk")
    capture = render_presentation(site.model_copy(update={"bona_fide_share": 1.0}), 1, 0, 0, head=head)[1]
    middle = capture.depth[44:68, 46:66]
    assert (middle > 0).mean() > 0.9
    assert 10 < np.ptp(np.percentile(middle[middle > 0], [5, 90])) < 120
    assert capture.ir[44:68, 46:66].mean() > 2 * capture.ir[:4].mean()
    manifest = read_manifest(simulate(site, count=4, seed=1, out=tmp_path, head=head))
    assert manifest.counts("label") == {"bona_fide": 4}
    attack = next(n for n in range(2) if plan(site, 1, n).label is Label.ATTACK)
    with pytest.raises(InputError, match="live subjects"):
        render_presentation(site, 1, attack, 0, head=head)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": 3, "workers": 0}])
def test_refuses_what_makes_no_sense(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="expected"):
        simulate(load_site("office"), seed=0, out=tmp_path, **wrong)
