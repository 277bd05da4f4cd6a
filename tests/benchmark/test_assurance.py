"""`mfas audit report`: every part is recognised, tabled and named with its command; what is absent is said to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import mfas, refusal
from mfas.card import Card
from mfas.data.scores import ScoreTable, write_scores
from mfas.weights import default_directory
from pages import parse

SHARE = {"count": 20, "accepted": 12, "rate": 0.6, "interval": {"low": 0.36, "high": 0.81}}
ARM = {**SHARE, "best_score": 0.9, "scenes_accepted": 1, "first_accepted": 4.0, "glances": 0, "cost": 20.0}


def files_of(directory: Path) -> dict[str, str]:
    return dict(Card.read(directory).files)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the default weights, to be written to; its card knows of no weakness yet."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in default_directory().iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    Card.read(folder).model_copy(update={"weaknesses": ()}).write(folder)
    return folder


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten living people, of whom one is rejected, and two species, of which one is let in half of the time."""
    truth = ["bona_fide"] * 10 + ["attack"] * 20
    species = [""] * 10 + ["print_flat"] * 10 + ["mask_silicone"] * 10
    scores = [0.9] * 9 + [0.1] + [0.1] * 10 + [0.1, 0.9] * 5
    names = [f"p{i % 6}" for i in range(30)]
    table = ScoreTable.from_columns(
        {"label": truth, "species": species, "score": np.array(scores), "subject": names, "site": ["lab"] * 30}
    )
    root = tmp_path_factory.mktemp("scores")
    write_scores(table, root / "scores.parquet")
    answer = mfas("evaluate", root / "scores.parquet", "--threshold", 0.5, "--set", "draws=50")
    assert answer.code == 0
    return root / "scores.evaluation" / "evaluation.json"


def written(path: Path, value: dict[str, Any]) -> Path:
    path.write_text(json.dumps(value))
    return path


def search_part(path: Path, files: dict[str, str]) -> Path:
    easiest = {"by": "search", "score": 0.9, "accepted": True, "values": {}}
    row = {"species": "print_flat", "budget": 20, "scenes": 1, "parameters": [], "random": ARM, "search": ARM}
    row |= {"repeats": {"random": SHARE, "search": SHARE}, "easiest": easiest, "rank_correlation": None}
    head = {"kind": "search", "schema": 1, "command": "mfas audit search --site dev_a", "site": "dev_a"}
    told = {"model": {"files": files}, "threshold": 0.6, "environment": {"simulator": "1.2"}, "config": {"seed": 0}}
    return written(path, {**head, **told, "findings": ["print_flat at dev_a: found."], "rows": [row]})


def streams_part(path: Path) -> Path:
    run = {"model": "mfas_danet", "target": "gate", "stream": "clip", "missing": "", "seed": 0, "bpcer": 0.1}
    runs = [{**run, "method": "source", "hter": 0.2, "apcer_max": 0.3}]
    gap = {"difference": 0.05, "low": 0.01, "high": 0.09}
    runs += [{**run, "method": "tent", "hter": 0.25, "apcer_max": 0.4, "hter_difference": gap}]
    return written(path, {"runs": runs, "environment": {"mfas": "0"}})


def report(*argv: object) -> dict[str, Any]:
    return dict(mfas("audit", "report", *argv, "--json").json())


def test_all_parts_on_one_page(model: Path, evaluation: Path, tmp_path: Path) -> None:
    attack = written(
        tmp_path / "attack.json",
        {
            "kind": "attack",
            "schema": 1,
            "command": "mfas audit attack --manifest m.parquet",
            "findings": ["mfas_danet: perturbed as 'all', 99.0 % of attacks are accepted."],
            "rows": [{"kind": "rgb", "missing": "", "accepted": 0.5, "interval": {"low": 0.4, "high": 0.6}}],
        },
    )
    parts = [evaluation, search_part(tmp_path / "search.json", files_of(model)), attack,
             streams_part(tmp_path / "results.json")]  # fmt: skip
    page = tmp_path / "report.html"
    argv = [x for part in parts for x in ("--part", part)]
    result = report("--model", model, *argv, "--out", page)
    assert list(result["parts"].values()) == ["evaluation", "streams", "search", "attack"]
    assert result["not_measured"] == ["steal", "explanation", "smoothing"]
    text = page.read_text()
    for sentence in (
        "mfas evaluate scores.parquet --threshold 0.5",
        "mfas audit search --site dev_a",
        "mfas audit attack --manifest m.parquet",
        Card.read(model).files["model.safetensors"],
        "Stealing by queries",
        "60.0",
        "+5.0",
    ):
        assert sentence in text
    found = parse(text)
    assert found.faults == []
    assert found.references == []
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    first = text
    report("--model", model, *argv, "--out", page)
    assert page.read_text() == first
    assert (tmp_path / "report.config.json").is_file()


def test_weaknesses_follow_from_the_figures(model: Path, evaluation: Path, tmp_path: Path) -> None:
    argv = ("--part", evaluation, "--part", streams_part(tmp_path / "results.json"))
    found = report("--model", model, *argv, "--out", tmp_path / "r.html")["weaknesses"]
    assert len(found) == 2
    assert found[0].startswith("mask_silicone at lab: APCER 50.0 % [18.7, 81.3], above 15.0 %")
    assert found[1].startswith(
        "Adapting with tent: the HTER rises beyond the doubt of its interval in 1 of 1 runs, by 5.0"
    )
    assert Card.read(model).weaknesses == ()


def test_the_card_is_written_only_when_asked(model: Path, evaluation: Path, tmp_path: Path) -> None:
    report("--model", model, "--part", evaluation, "--out", tmp_path / "r.html", "--write-card")
    (kept,) = Card.read(model).weaknesses
    assert kept.startswith("mask_silicone")
    shown = mfas("audit", "report", "--model", model, "--out", tmp_path / "alone.html")
    assert "weaknesses: mask_silicone at lab" in shown.out
    alone = report("--model", model, "--out", tmp_path / "alone.html")
    assert alone["weaknesses"] == [kept]
    assert len(alone["not_measured"]) == 7
    assert kept in (tmp_path / "alone.html").read_text().replace("&#39;", "'")
    again = search_part(tmp_path / "search.json", files_of(model))
    report("--model", model, "--part", again, "--out", tmp_path / "r.html", "--write-card")
    assert Card.read(model).weaknesses == ("print_flat at dev_a: found.",)


def test_answers_do_not_repeat_them(model: Path, evaluation: Path, tmp_path: Path) -> None:
    import cv2

    report("--model", model, "--part", evaluation, "--out", tmp_path / "r.html", "--write-card")
    cv2.imwrite(str(tmp_path / "face.png"), np.full((64, 64, 3), 90, np.uint8))
    answer = mfas("predict", "--model", model, "--rgb", tmp_path / "face.png", "--box", "full", "--json")
    assert answer.code == 0
    assert "silicone" not in answer.out


def test_a_file_that_names_no_weights_is_marked(model: Path, evaluation: Path, tmp_path: Path) -> None:
    report("--model", model, "--part", evaluation, "--out", tmp_path / "r.html")
    assert "does not name the weights" in (tmp_path / "r.html").read_text()
    part = search_part(tmp_path / "search.json", files_of(model))
    report("--model", model, "--part", part, "--out", tmp_path / "r.html")
    assert "does not name the weights" not in (tmp_path / "r.html").read_text()


def test_of_several_models_only_this_one_speaks(model: Path, tmp_path: Path) -> None:
    told = {"matrix": [], "transfer": [], "models": [{"name": "model"}, {"name": "rival"}]}
    findings = ["model: weak against light.", "model + site: weak after learning.", "rival: weak against all."]
    told["models"].append({"name": "model + site"})
    part = written(tmp_path / "attack.json", {**told, "findings": findings})
    found = report("--model", model, "--part", part, "--out", tmp_path / "r.html")
    assert found["parts"] == {"attack.json": "attack"}
    assert found["weaknesses"] == findings[:2]
    part = written(tmp_path / "others.json", {**told, "models": [{"name": "a"}, {"name": "b"}]})
    sentence = refusal("audit", "report", "--model", model, "--part", part, "--out", tmp_path / "r.html")
    assert "is about a, b, expected one of them to be 'model'" in sentence


def test_an_explanation_is_recognised_by_its_shape(model: Path, tmp_path: Path) -> None:
    record = {"schema": 1, "phi": {"rgb": 0.25, "ir": 1.5}, "synergy": {"gap": 0.0}}
    part = written(
        tmp_path / "e.json", {"decision": "attack", "score": 0.2, "explanation": record, "maps": {"rgb": []}}
    )
    found = report("--model", model, "--part", part, "--out", tmp_path / "r.html")
    assert found["parts"] == {"e.json": "explanation"}
    text = (tmp_path / "r.html").read_text()
    assert "phi.ir" in text
    assert "1.5" in text


def test_long_tables_are_cut_and_say_so(model: Path, tmp_path: Path) -> None:
    rows = [{"name": f"row {i}", "value": i / 7} for i in range(90)]
    part = written(tmp_path / "steal.json", {"kind": "steal", "schema": 1, "command": "x", "rows": rows})
    report("--model", model, "--part", part, "--out", tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "The first 40 of 90 rows" in text
    assert "row 39<" in text
    assert "row 40<" not in text


def test_bad_input_is_one_sentence(model: Path, evaluation: Path, tmp_path: Path) -> None:
    def sentence(*argv: object) -> str:
        return refusal("audit", "report", "--model", model, "--out", tmp_path / "r.html", *argv)

    assert "not found" in sentence("--part", tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    assert "not valid JSON" in sentence("--part", tmp_path / "broken.json")
    assert "expected a JSON object" in sentence("--part", written(tmp_path / "list.json", []))  # type: ignore[arg-type]
    odd = written(tmp_path / "odd.json", {"kind": "horoscope", "rows": []})
    assert "got kind 'horoscope'" in sentence("--part", odd)
    assert "no known shape" in sentence("--part", written(tmp_path / "bare.json", {"a": 1}))
    assert "schema 1, got 2" in sentence("--part", written(tmp_path / "new.json", {"kind": "steal", "schema": 2}))
    other = search_part(tmp_path / "other.json", {"model.safetensors": "0" * 64})
    assert "other weights" in sentence("--part", other)
    half = written(tmp_path / "half.json", {"kind": "search", "schema": 1, "rows": []})
    assert "half.json is not a whole part of kind 'search'" in sentence("--part", half)
    part = written(tmp_path / "runs.json", {"kind": "evaluation", "schema": 1})
    assert "runs.json is not a whole part" in sentence("--part", part)
    assert "twice" in sentence("--part", evaluation, "--part", evaluation)
    assert "named .html" in refusal("audit", "report", "--model", model, "--out", tmp_path / "r.pdf")
    assert not (tmp_path / "r.html").exists()
