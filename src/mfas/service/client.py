"""`mfas client`: captures of a manifest, or images of a folder, scored by a running service; several in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
from pydantic import Field

from mfas.config import Config
from mfas.core import MODALITIES, Modality, Outcome, format_modalities, parse_modalities
from mfas.data.manifest import Manifest, Row, read_manifest
from mfas.data.scores import ScoreTable, write_scores
from mfas.errors import ImageError, InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_AGAIN = (429, 503)


class ClientConfig(Config):
    """Configuration of `mfas client`.

    ``manifest`` may be a folder: then each image is an RGB capture, but ``NAME_rgb``, ``NAME_depth`` and ``NAME_ir``
    belong together. ``missing`` is taken away before anything is sent. ``parallel`` requests are in flight. A capture
    is tried for ``patience_seconds`` when the service says to come again. Subject and session go out with
    ``identities`` only, as they stand in the manifest.
    """

    url: str = "http://127.0.0.1:8000"
    site: str = "default"
    key: str | None = Field(None, repr=False)
    manifest: Path
    out: Path
    missing: str = ""
    parallel: int = Field(4, ge=1, le=64)
    patience_seconds: float = Field(120.0, ge=0)
    timeout_seconds: float = Field(60.0, gt=0)
    identities: bool = False


def score(config: ClientConfig, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Score every capture and write the table; returns how many came out how, and how long it took.

    Captures that the service found no face in, or could not judge, are non-responses. Raises `InputError` when the
    service cannot be reached, refuses a capture or the key, or withholds scores.
    """
    manifest = _captures(config.manifest)
    begun = time.perf_counter()
    answers = asyncio.run(_all(config, manifest, progress or _silent))
    seconds = time.perf_counter() - begun
    write_scores(_table(config, manifest, answers), config.out)
    outcomes = [answer["outcome"] for answer in answers]
    return {
        "scores": str(config.out),
        "captures": len(answers),
        "outcomes": {name: outcomes.count(name) for name in sorted(set(outcomes))},
        "states": sorted({answer["state_id"] for answer in answers}),
        "seconds": round(seconds, 3),
    }


def _silent(done: int, total: int) -> None:
    del done, total


def _captures(path: Path) -> Manifest:
    if not path.is_dir():
        return read_manifest(path)
    groups: dict[str, dict[str, object]] = {}
    for file in sorted(path.iterdir()):
        if file.suffix.lower() not in SUFFIXES:
            continue
        name, _, last = file.stem.rpartition("_")
        known = bool(name) and last in {m.value for m in MODALITIES}
        group = groups.setdefault(name if known else file.stem, {})
        group[last if known else Modality.RGB.value] = file.name
    if not groups:
        raise InputError(f"expected images ({', '.join(SUFFIXES)}) in {path}, found none")
    return Manifest.from_rows([{"capture_id": name, **images} for name, images in groups.items()], path)


async def _all(
    config: ClientConfig, manifest: Manifest, progress: Callable[[int, int], None]
) -> list[Mapping[str, Any]]:
    headers = {} if config.key is None else {"Authorization": f"Bearer {config.key}"}
    answers: list[Mapping[str, Any]] = [{} for _ in range(len(manifest))]
    rows = iter(manifest)
    turn = _Turn()
    done = 0

    async def work(client: httpx.AsyncClient, rows: Iterable[Row]) -> None:
        nonlocal done
        for row in rows:
            answers[row.index] = await _one(client, config, row, manifest.root, turn)
            done += 1
            progress(done, len(manifest))

    timeout = httpx.Timeout(config.timeout_seconds)
    try:
        async with (
            httpx.AsyncClient(base_url=config.url, headers=headers, timeout=timeout, trust_env=False) as client,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(min(config.parallel, len(manifest))):
                tasks.create_task(work(client, rows))
    except* InputError as group:
        raise group.exceptions[0] from None
    except* (httpx.InvalidURL, httpx.UnsupportedProtocol) as group:
        del group
        raise InputError(f"expected an address such as http://127.0.0.1:8000, got '{config.url}'") from None
    return answers


class _Turn:
    """When the service says to wait, all wait."""

    until = 0.0

    async def mine(self) -> None:
        while (left := self.until - time.monotonic()) > 0:
            await asyncio.sleep(left)

    def wait(self, seconds: float) -> None:
        self.until = max(self.until, time.monotonic() + seconds)


async def _one(client: httpx.AsyncClient, config: ClientConfig, row: Row, root: Path, turn: _Turn) -> Mapping[str, Any]:
    gone = parse_modalities(config.missing)
    chosen = [m for m in row.modalities if m not in gone]
    if not chosen:
        return {"outcome": "cannot_judge", "score": None, "present": "", "model": "", "state_id": "source"}
    files = {m.value: (m.value, _read(root / row.path(m))) for m in chosen}
    fields = {"box": row.box, "depth_scale_m": f"{row.depth_scale_m:.12g}", "depth_kind": row.depth_kind}
    if config.identities:
        fields |= {name: value for name, value in (("subject", row.subject), ("session", row.session)) if value}
    until = time.monotonic() + config.patience_seconds
    address = f"/v1/sites/{config.site}/decisions"
    while True:
        await turn.mine()
        try:
            response = await client.post(address, files=files, data=fields)
        except (httpx.ConnectError, httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError) as reason:
            what = type(reason).__name__
            raise InputError(f"expected an answer from {config.url}, got none ({what})") from None
        if response.status_code not in _AGAIN:
            return _answer(response, row, config)
        wait = _seconds(response)
        if time.monotonic() + wait > until:
            sentence = f"capture {row.capture_id}: the service was busy for {config.patience_seconds:g} s"
            raise InputError(f"{sentence}: {_message(response)}")
        turn.wait(wait)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise ImageError(f"image file not found: {path}") from None


def _seconds(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 1.0


def _answer(response: httpx.Response, row: Row, config: ClientConfig) -> Mapping[str, Any]:
    if response.status_code != 200:
        raise InputError(
            f"capture {row.capture_id}: expected a decision, got status {response.status_code}: {_message(response)}"
        )
    answer: Any = response.json()
    if answer["outcome"] == Outcome.SCORED.value and answer["score"] is None:
        raise InputError(f"expected scores from {config.url}, got decisions only: the service withholds its scores")
    found: Mapping[str, Any] = answer
    return found


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return "no reason told"


def _table(config: ClientConfig, manifest: Manifest, answers: list[Mapping[str, Any]]) -> ScoreTable:
    scored = [answer["outcome"] == Outcome.SCORED.value for answer in answers]
    method = [_method(answer["state_id"]) for answer in answers]
    same = {name: manifest.column(name) for name in ("capture_id", "presentation_id", "subject", "site", "label")}
    return ScoreTable.from_columns(
        {
            **same,
            "species": manifest.column("species"),
            "missing": [format_modalities(parse_modalities(config.missing))] * len(answers),
            "present": [answer["present"] if one else "" for answer, one in zip(answers, scored, strict=True)],
            "model": [answer["model"] for answer in answers],
            "method": method,
            "step": list(range(len(answers))),
            "outcome": [(Outcome.SCORED if one else Outcome.NON_RESPONSE).value for one in scored],
            "score": [answer["score"] if one else float("nan") for answer, one in zip(answers, scored, strict=True)],
        }
    )


def _method(state_id: str) -> str:
    return state_id if state_id == "source" else f"state {state_id[:12]}"
