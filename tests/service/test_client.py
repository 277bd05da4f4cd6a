"""`mfas client` against a server in this process: a score table, patience, and plain refusals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from commands import mfas, refusal
from mfas.benchmark.prediction_run import PredictConfig, predict
from mfas.data.manifest import Manifest, write_manifest
from mfas.data.scores import read_scores
from mfas.service.running import Service
from served import Served, crop, served


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of six crops, one without depth, one on which nothing can be seen."""
    folder = tmp_path_factory.mktemp("captures")
    rows: list[dict[str, object]] = []
    for k in range(6):
        images = crop(k)
        if k == 2:
            images.pop("depth")
        for name, data in images.items():
            (folder / f"{k}_{name}.png").write_bytes(data)
        files: dict[str, object] = {name: f"{k}_{name}.png" for name in images}
        label = "attack" if k % 2 else "bona_fide"
        box = "full" if k != 4 else "1,1,8,8"
        rows.append({**files, "capture_id": f"c{k}", "box": box, "label": label, "subject": f"person {k}"})
    write_manifest(Manifest.from_rows(rows, folder), folder / "m.csv")
    return folder / "m.csv"


class Listening:
    """A server in a thread."""

    def __init__(self, running: Served) -> None:
        config = uvicorn.Config(running.http.app, port=0, log_level="error", lifespan="off", ws="none")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.running = running

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture
def listening(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Listening]:
    with served(tmp_path, **getattr(request, "param", {})) as running:
        there = Listening(running)
        yield there
        there.stop()


def test_a_manifest_becomes_a_score_table(listening: Listening, captures: Path, tmp_path: Path) -> None:
    out, key = tmp_path / "scores.parquet", listening.running.keys["score"]
    argv = ("--url", listening.url, "--site", "default", "--key", key, "--manifest", captures, "--out", out)
    result = mfas("client", *argv, "--json").json()
    assert result["outcomes"] == {"cannot_judge": 1, "scored": 5}
    table = read_scores(out)
    assert table.column("capture_id").tolist() == [f"c{k}" for k in range(6)]
    assert table.column("outcome").tolist() == ["scored"] * 4 + ["non_response", "scored"]
    assert table.column("present").tolist() == ["rgb,depth,ir"] * 2 + ["rgb,ir"] + ["rgb,depth,ir", "", "rgb,depth,ir"]
    assert set(table.column("method").tolist()) == {"source"}
    files: dict[str, Any] = {name: captures.parent / f"0_{name}.png" for name in ("rgb", "depth", "ir")}
    said = predict(PredictConfig(box="full", **files))
    assert table.column("score")[0] == pytest.approx(said["score"], abs=6e-4)
    assert set(table.column("model").tolist()) == {said["model"]}
    kept = listening.running.store.decisions("default", limit=10)
    assert {decision.subject for _, decision in kept} == {None}


def test_identities_go_out_when_asked(listening: Listening, captures: Path, tmp_path: Path) -> None:
    running = listening.running
    argv = ("--url", listening.url, "--key", running.keys["score"], "--manifest", captures, "--out", tmp_path / "s.csv")
    mfas("client", *argv, "--set", "identities=true", "--set", "missing=ir,depth", "--json").json()
    subject = running.service.secret.pseudonym("default", "subject", "person 3")
    assert len(running.store.decisions("default", subject=subject)) == 1
    table = read_scores(tmp_path / "s.csv")
    assert set(table.column("missing").tolist()) == {"depth,ir"}
    assert set(table.column("present").tolist()) == {"rgb", ""}


@pytest.mark.parametrize("listening", [{"limits": {"rate_per_second": 8, "burst": 2}}], indirect=True)
def test_it_waits_when_told_to(listening: Listening, captures: Path, tmp_path: Path) -> None:
    argv = ("--url", listening.url, "--key", listening.running.keys["score"], "--manifest", captures)
    result = mfas("client", *argv, "--out", tmp_path / "s.csv", "--json").json()
    assert result["captures"] == 6
    assert result["seconds"] >= 1
    sentence = refusal("client", *argv, "--out", tmp_path / "s.csv", "--set", "patience_seconds=0")
    assert "the service was busy" in sentence


def test_a_folder_of_images(listening: Listening, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, data in crop().items():
        (folder / f"door_{name}.png").write_bytes(data)
    (folder / "alone.png").write_bytes(crop(1)["rgb"])
    (folder / "notes.txt").write_text("no image")
    argv = ("--url", listening.url, "--key", listening.running.keys["score"], "--out", tmp_path / "s.csv")
    mfas("client", *argv, "--manifest", folder, "--json").json()
    table = read_scores(tmp_path / "s.csv")
    assert table.column("capture_id").tolist() == ["alone", "door"]
    assert set(table.column("outcome").tolist()) == {"non_response"}  # made-up crops hold no face
    (tmp_path / "empty").mkdir()
    assert "expected images" in refusal("client", *argv, "--manifest", tmp_path / "empty")


def test_refusals(listening: Listening, captures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = ("--manifest", captures, "--out", tmp_path / "s.csv")
    key, url = ("--key", listening.running.keys["score"]), ("--url", listening.url)
    assert "expected a valid key" in refusal("client", *url, "--key", "mfas_wrong", *rest)
    assert "there is no site" in refusal("client", *url, *key, "--site", "nowhere", *rest)
    assert "got none (ConnectError)" in refusal("client", "--url", "http://127.0.0.1:9", *key, *rest)
    assert "expected an address" in refusal("client", "--url", "nonsense", *key, *rest)
    config = listening.running.service.config.model_copy(update={"tell_scores": False})
    monkeypatch.setattr(listening.running.service, "config", config)
    assert "withholds its scores" in refusal("client", *url, *key, *rest)
    assert not (tmp_path / "s.csv").exists()
    assert isinstance(listening.running.service, Service)
