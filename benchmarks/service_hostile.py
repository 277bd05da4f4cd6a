"""Hostile streams through the whole service, and what a site with policy ``auto`` is worth afterwards.

``python benchmarks/service_hostile.py [CAPTURES] [SITE] [STREAM ...]`` simulates SITE (gate), composes each stream of
CAPTURES (300) as the bench does, and sends it, in order, to a site of its own of one server. Then the site is frozen
and the probe (other people of the same place) is scored through the same requests; its error rates stand against those
of ``state source``. Every presentation comes as a person never seen before, the worst case for quotas. The canary is
120 captures of the same place with others again. With ``--careless`` an operator approves whatever waits for approval.

Prints JSON: for each stream what became of its candidates, and the change of BPCER, APCER and of the worst species in
points. Steps are small and many compared with the defaults (a candidate every 16 learnt captures), the bounds are the
defaults.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import httpx
import numpy as np
import service_bench as bench
import service_traffic as traffic
from numpy.typing import NDArray

from mfas.benchmark.bench_rows import PROBE, STREAM, SiteRows, restrict, stream_columns
from mfas.benchmark.stream import BlendEdit, StreamItem, compose
from mfas.benchmark.stream_recipe import load_recipe
from mfas.core import Label
from mfas.data.manifest import Manifest
from mfas.service.keys import Scope
from mfas.service.store import Store

STREAMS = ("attack_only", "bona_fide_only", "creep", "repeat_missed", "poisoned")
METHOD = {"update_every": 8}
LEARNING = {"settings": METHOD, "updates_per_candidate": 2, "queue": 4096, "wait_seconds": 0.2}
CANARY = 120


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", type=int, nargs="?", default=300)
    parser.add_argument("site", nargs="?", default="gate")
    parser.add_argument("streams", nargs="*", default=STREAMS)
    parser.add_argument("--careless", action="store_true")
    parser.add_argument("--database")
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        database = given.database or f"sqlite:///{name}/service.db"
        result = run(Path(name), database, given.captures, given.site, given.streams, careless=given.careless)
    print(json.dumps(result, indent=2))
    return 0


def run(
    folder: Path, database: str, captures: int, site: str, streams: Sequence[str], *, careless: bool
) -> dict[str, Any]:
    """Every stream, each at a site of its own."""
    # A stream of one class takes all of its presentations out of the three fifths that are split `train`.
    manifest = bench.simulated(folder / "site", 5 * captures, site=site)
    bench.simulated(folder / "canary", CANARY, seed=2, site=site)
    learning = LEARNING | {"source_canary": str(folder / "canary")}
    key = bench.prepare(database, keys=1, scope=Scope.ADMIN)[0]
    with bench.Server(folder, database, {"limits": bench.UNLIMITED, "learning": learning}) as server:
        door = Door(server.url, key, database)
        parts = Parts.of(site, manifest)
        source = door.scores(bench.SITE, manifest, parts.stream)
        before = rates(door.decisions(bench.SITE, manifest, parts.probe), manifest, parts.probe)
        out = {}
        for stream in streams:
            door.open(stream, "auto")
            items = compose(load_recipe(stream, {"captures": captures}), parts.columns(source), seed=0)
            for item in items:
                door.send(stream, sent(manifest, parts.stream, item), f"{item.presentation}")
                if careless:
                    door.approve(stream)
            door.settle(stream, careless=careless)
            after = rates(door.decisions(stream, manifest, parts.probe), manifest, parts.probe)
            change = {name: round(100 * (after[name] - before[name]), 2) for name in before}
            out[stream] = {"sent": len(items), **door.story(stream), "change_in_points": change}
    return {
        "site": site,
        "probe": len(parts.probe),
        "careless": careless,
        "source": {name: round(100 * rate, 2) for name, rate in before.items()},
        "streams": out,
    }


@dataclass(frozen=True)
class Parts:
    """Rows of the manifest that stream, and those of the probe."""

    rows: SiteRows
    stream: NDArray[np.int64]
    probe: NDArray[np.int64]

    @staticmethod
    def of(site: str, manifest: Manifest) -> Parts:
        """As the bench parts them: other people in each."""
        rows = SiteRows.of_manifest(site, manifest)
        roles = rows.roles(site, (site,))
        return Parts(rows, np.flatnonzero(roles == STREAM), np.flatnonzero(roles == PROBE))

    def columns(self, score: NDArray[np.float64]) -> Any:
        """What a recipe sees."""
        mask = np.zeros(len(self.rows.label), bool)
        mask[self.stream] = True
        return stream_columns([restrict(self.rows, mask)], (self.rows.site,), (), score)


class Door:
    """Requests to one server, one after the other."""

    def __init__(self, url: str, key: str, database: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=120)
        self._store = Store(database)

    def open(self, site: str, policy: str) -> None:
        """Make a site."""
        self._http.put(f"/v1/sites/{site}", json={"policy": policy}).raise_for_status()
        time.sleep(1)  # its learner takes the lead in the background

    def send(self, site: str, shot: bench.Shot, subject: str | None = None) -> dict[str, Any]:
        """One capture; the answer."""
        data = dict(shot.fields) | ({} if subject is None else {"subject": subject})
        answer = self._http.post(traffic.decisions(site), files=dict(shot.images), data=data)
        answer.raise_for_status()
        return dict(answer.json())

    def decisions(self, site: str, manifest: Manifest, rows: NDArray[np.int64]) -> list[str | None]:
        """What is decided on rows of the manifest; None where nothing was."""
        return [self.send(site, bench.Shot.of(manifest, manifest.row(row)))["decision"] for row in rows.tolist()]

    def scores(self, site: str, manifest: Manifest, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scores of rows of the manifest, 0 where there is none."""
        told = (self.send(site, bench.Shot.of(manifest, manifest.row(row)))["score"] for row in rows.tolist())
        return np.array([0.0 if score is None else score for score in told])

    def approve(self, site: str) -> None:
        """Say yes to whatever waits."""
        waiting = self._store.site(site).candidate
        if waiting is not None:
            order = f"/v1/sites/{site}/states/{waiting}/approve"
            self._http.post(order, json={"reason": "said yes without a look"}).raise_for_status()

    def settle(self, site: str, *, careless: bool) -> None:
        """Wait until the learner has had all that was sent, then freeze."""
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < 3:
            if careless:
                self.approve(site)
            newest = self._store.ledger_head()[0]
            if newest != seen:
                seen, since = newest, time.monotonic()
            time.sleep(0.1)
        self._http.post(f"/v1/sites/{site}/freeze", json={"reason": "the probe"}).raise_for_status()

    def story(self, site: str) -> dict[str, Any]:
        """What came of what was sent."""
        steps = [step for _, step in self._store.steps(site, limit=10**6)]
        fates = Counter(state.status.value for state in self._store.states(site, limit=10**6))
        now = self._store.site(site)
        return {
            "accepted": sum(step.accepted for step in steps),
            "as_bona_fide": sum(step.accepted and step.pseudo_label == Label.BONA_FIDE.value for step in steps),
            "candidates": dict(sorted(fates.items())),
            "drift_in_force": 0.0 if now.state == "source" else round(self._store.state(now.state).drift, 4),
            "state": now.state[:12],
        }


def rates(decided: Sequence[str | None], manifest: Manifest, rows: NDArray[np.int64]) -> dict[str, float]:
    """Errors by capture. What was not decided was not let in: an error for a living face only."""
    labels, species = manifest.column("label")[rows], manifest.column("species")[rows]
    let_in = np.array([one == Label.BONA_FIDE.value for one in decided])
    attacks = labels == Label.ATTACK.value
    worst = max(float(let_in[attacks & (species == name)].mean()) for name in np.unique(species[attacks]))
    return {"bpcer": float((~let_in[~attacks]).mean()), "apcer": float(let_in[attacks].mean()), "worst_species": worst}


def sent(manifest: Manifest, rows: NDArray[np.int64], item: StreamItem) -> bench.Shot:
    """A capture of the stream as it goes out: sensors that fail are left out, blends are made of pixels."""
    shot = bench.Shot.of(manifest, manifest.row(int(rows[item.row])))
    images = {name: raw for name, raw in shot.images.items() if name not in {m.value for m in item.drop}}
    if isinstance(item.edit, BlendEdit):
        other = bench.Shot.of(manifest, manifest.row(int(rows[item.edit.other]))).images
        images = {n: blend(raw, other[n], item.edit.share) if n in other else raw for n, raw in images.items()}
    return bench.Shot(images, shot.fields)


def blend(one: bytes, other: bytes, share: float) -> bytes:
    """Two images of one size, ``share`` of the second; where only one measured (0 in depth), that one."""
    own, new = (np.asarray(cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)) for raw in (one, other))
    mixed = (1 - share) * own.astype(np.float64) + share * new
    if own.ndim == 2:
        mixed = np.where(own == 0, new, np.where(new == 0, own, mixed))
    done, data = cv2.imencode(".png", np.rint(mixed).astype(own.dtype))
    assert done
    return bytes(data)


if __name__ == "__main__":
    sys.exit(main())
