"""What the benchmarks of the service share: a simulated site, `mfas serve` as a process, a look at its store.

Nothing here measures; each ``service_*.py`` beside this file does, and prints JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from mfas.core import MODALITIES
from mfas.data.manifest import Manifest, Row, read_manifest
from mfas.service.keys import Scope
from mfas.service.ledger import verify
from mfas.service.states import SOURCE, Policy
from mfas.service.store import Store, StoredDecision
from mfas.simulation import load_site, simulate

SITE = "default"
UNLIMITED = {"rate_per_second": 1e6, "burst": 1_000_000}
_BOUNDARY = "mfas-benchmark"
MULTIPART = f"multipart/form-data; boundary={_BOUNDARY}"
_START_SECONDS = 300
_ONE_THREAD = {"OMP_NUM_THREADS": "1"}

LOOSE = {"species": 1.0, "bpcer": 1.0, "flips": 1.0, "spoof_rise": 1.0, "cool_down": 0}
"""Bounds that let every candidate through, but for one that is not finite or too far away."""


def quick_learning(canary: Path) -> dict[str, Any]:
    """Learning that makes a candidate of every few captures: for watching the machinery, not for learning well."""
    method = {"update_every": 4, "batch_per_class": 4, "min_per_class": 2, "min_share": 0.0, "learning_rate": 1e-3}
    common = {"settings": method, "updates_per_candidate": 2, "batch": 8, "wait_seconds": 0.2}
    return common | {"source_canary": str(canary)}


# -- captures ------------------------------------------------------------------------------------------------------


def simulated(out: Path, count: int, seed: int = 1, site: str = "kiosk", resolution: int | None = None) -> Manifest:
    """Captures of a simulated site, written below ``out``."""
    chosen = load_site(site)
    if resolution is not None:
        chosen = chosen.model_copy(update={"resolution": resolution})
    return read_manifest(simulate(chosen, count=count, seed=seed, out=out), require_labels=True)


@dataclass(frozen=True)
class Shot:
    """One capture as it goes out: image bytes by modality, and its fields."""

    images: Mapping[str, bytes]
    fields: Mapping[str, str]

    @staticmethod
    def of(manifest: Manifest, row: Row, *, box: bool = True) -> Shot:
        """From a manifest."""
        images = {m.value: manifest.resolve(row.path(m)).read_bytes() for m in MODALITIES if row.path(m)}
        fields = {"depth_scale_m": f"{row.depth_scale_m:.12g}", "depth_kind": row.depth_kind}
        return Shot(images, fields | ({"box": row.box} if box else {}))


def shots(manifest: Manifest, *, complete: bool = False, box: bool = True) -> list[Shot]:
    """Every capture, or those that have all modalities."""
    rows = [row for row in manifest if not complete or len(row.modalities) == len(MODALITIES)]
    return [Shot.of(manifest, row, box=box) for row in rows]


def single(shot: Shot, **more: str) -> bytes:
    """The body of one capture."""
    return _multipart({**shot.fields, **more}, shot.images)


def batch(given: Sequence[Shot]) -> bytes:
    """The body of many."""
    images = {f"{number}.{name}": raw for number, shot in enumerate(given) for name, raw in shot.images.items()}
    told = [{**shot.fields, "depth_scale_m": float(shot.fields["depth_scale_m"])} for shot in given]
    return _multipart({"captures": json.dumps(told)}, images)


def _multipart(fields: Mapping[str, str], images: Mapping[str, bytes]) -> bytes:
    parts = [(f'name="{name}"', text.encode()) for name, text in fields.items()]
    parts += [(f'name="{name}"; filename="{name}"', raw) for name, raw in images.items()]
    pieces = [
        f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + raw + b"\r\n"
        for head, raw in parts
    ]
    return b"".join(pieces) + f"--{_BOUNDARY}--\r\n".encode()


# -- the server ----------------------------------------------------------------------------------------------------


def prepare(url: str, policy: Policy = Policy.OFF, keys: int = 0, scope: Scope = Scope.SCORE) -> list[str]:
    """A new database with the site `SITE`; gives as many keys as asked for."""
    store = Store(url)
    store.migrate()
    store.add_site(SITE, policy)
    made = [store.add_key(f"benchmark {number}", [scope])[1] for number in range(keys)]
    store.close()
    return made


class Server:
    """`mfas serve` on a free port; ``config`` are keys of its configuration. Ready when the block is entered."""

    def __init__(self, folder: Path, database: str, config: Mapping[str, Any], name: str = "node") -> None:
        self._folder, self._name = folder, name
        self._config = folder / f"{name}.yaml"
        given = {"port": 0, "database": database, "open_metrics": True, "secret_file": str(folder / "secret")}
        self._config.write_text(yaml.safe_dump({**given, **config}), encoding="utf-8")
        self.url = ""
        self._http = httpx.Client(trust_env=False, verify=False, timeout=60)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.kill()
        self._http.close()

    def start(self) -> float:
        """Start it, wait until it is ready; gives the seconds that took."""
        begun, log = time.perf_counter(), self._folder / f"{self._name}.log"
        command = [sys.executable, "-m", "mfas", "serve", "--config", str(self._config)]
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, stderr=out, env=os.environ | _ONE_THREAD)
        while True:
            if self.process.poll() is not None or time.perf_counter() - begun > _START_SECONDS:
                raise RuntimeError(f"the server did not start:\n{log.read_text(encoding='utf-8')[-3000:]}")
            told = [line for line in log.read_text(encoding="utf-8").splitlines() if "listening on " in line]
            if told:
                self.url = told[0].rpartition(" ")[2]
                try:
                    if self._http.get(f"{self.url}/v1/ready").status_code == 200:
                        return time.perf_counter() - begun
                except httpx.TransportError:
                    pass
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def memory_mib(self) -> float:
        """Resident memory."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def figure(self, name: str) -> float:
        """Sum of the lines of /metrics that begin with ``name``."""
        lines = self._http.get(f"{self.url}/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


# -- what must be true afterwards ----------------------------------------------------------------------------------


def found_in_store(url: str, answered: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare answers to single captures with what was kept; `LedgerError` when the ledger does not verify."""
    store = Store(url, create=False)
    try:
        kept = {body["request_id"]: _told(store.decision(body["request_id"])) for body in answered}
        checked = verify(store.database)
        state = store.site(SITE).state  # before the promotions: a site that still learns may have another one since
        promoted = [row.payload for row in store.ledger(site=SITE, kinds=("promoted",), limit=10**6)]
        served = {SOURCE, *(row["to"] for row in promoted)}
        return {
            "answered": len(kept),
            "lost": sum(found is None for found in kept.values()),
            "changed": sum(kept[b["request_id"]] not in (None, _said(b)) for b in answered),
            "ledger_rows": checked.rows,
            "promotions": len(promoted),
            "forks": len(promoted) - len({row["from"] for row in promoted}),
            "state": state,
            "state_was_promoted": state in served,
            "answers_by_states_never_promoted": sum(body["state_id"] not in served for body in answered),
        }
    finally:
        store.close()


def _told(decision: StoredDecision | None) -> tuple[str, str | None, str] | None:
    return None if decision is None else (decision.outcome, decision.decision, decision.state_id)


def _said(body: Mapping[str, Any]) -> tuple[str, str | None, str]:
    return body["outcome"], body["decision"], body["state_id"]


def faults(found: Mapping[str, Any]) -> list[str]:
    """What of `found_in_store` must not be, in words."""
    counts = ("lost", "changed", "forks", "answers_by_states_never_promoted")
    wrong = [f"{found[name]} {name.replace('_', ' ')}" for name in counts if found[name]]
    return wrong if found["state_was_promoted"] else [*wrong, f"state {found['state']} was never promoted"]
