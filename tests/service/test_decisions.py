"""Decisions over HTTP: what is answered, what is recorded, what is an outcome and what an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mfas.service.api.schemas import DecisionAnswer
from mfas.service.keys import Scope
from served import HOST, SITE, Served, crop, png, served


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("service")) as running:
        yield running


def test_a_capture_is_scored_and_recorded(there: Served) -> None:
    response = there.decide(crop(), subject="somebody", device="door 1", session="s1")
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["outcome"] == "scored"
    assert 0 <= answer["score"] <= 1
    assert answer["score"] == round(answer["score"], 3)
    assert set(answer["modality_scores"]) == {"rgb", "depth", "ir"}
    assert answer["threshold"] == there.service.source.card.threshold("")
    assert answer["decision"] in ("bona_fide", "attack")
    assert (answer["present"], answer["missing"], answer["state_id"]) == ("rgb,depth,ir", "", "source")
    assert answer["notice"] == there.service.source.card.notice
    assert response.headers["x-request-id"] == answer["request_id"]
    kept = there.store.decision(answer["request_id"])
    assert kept is not None
    assert (kept.score, kept.decision, kept.model_id) == (answer["score"], answer["decision"], answer["model_id"])
    assert kept.key_id == there.records["score"].id
    assert kept.subject == there.service.secret.pseudonym(SITE, "subject", "somebody")
    assert "somebody" not in Path(there.store.database.file).read_bytes().decode("latin-1")


def test_the_answer_says_what_mfas_predict_says(there: Served, tmp_path: Path) -> None:
    from commands import mfas

    images = crop(3)
    argv: list[object] = ["predict", "--box", "full", "--json"]
    for name, data in images.items():
        (tmp_path / f"{name}.png").write_bytes(data)
        argv += [f"--{name}", tmp_path / f"{name}.png"]
    told, answer = mfas(*argv).json(), there.decide(images).json()
    assert answer["score"] == pytest.approx(told["score"], abs=6e-4)
    for name in ("decision", "threshold", "present", "missing", "substituted", "model", "notice"):
        assert answer[name] == told[name], name


@pytest.mark.parametrize("given", [("rgb",), ("ir",), ("depth",), ("rgb", "ir"), ("depth", "ir")])
def test_any_subset_will_do(there: Served, given: tuple[str, ...]) -> None:
    images = {name: data for name, data in crop().items() if name in given}
    answer = there.decide(images).json()
    assert answer["outcome"] == "scored"
    assert answer["present"] == ",".join(given)
    assert set(answer["modality_scores"]) == set(given)
    assert answer["threshold"] == there.service.source.card.threshold(answer["missing"])
    assert answer["threshold_id"].endswith(f"/{answer['missing']}")


def test_no_face_is_an_outcome(there: Served) -> None:
    plain = np.full((120, 160, 3), 90, np.uint8)
    plain[:, 80:] = 120
    response = there.decide({"rgb": png(plain)}, box="")
    assert response.status_code == 200
    answer = response.json()
    assert (answer["outcome"], answer["reason"]) == ("no_face", "no face found in rgb")
    assert answer["score"] is answer["decision"] is answer["threshold"] is None
    assert answer["modality_scores"] == {}
    kept = there.store.decision(answer["request_id"])
    assert kept is not None
    assert kept.outcome == "no_face"


@pytest.mark.parametrize(
    ("images", "box", "reason"),
    [
        ({"depth": crop()["depth"]}, "", "a face is not looked for in depth alone"),
        ({"rgb": crop()["rgb"]}, "4,4,20,20", "the face is 20 pixels"),
        ({"rgb": png(np.full((64, 64, 3), 7, np.uint8))}, "full", "no image shows anything but one level"),
        ({"depth": png(np.zeros((64, 64), np.uint16))}, "full", "no image shows anything but one level"),
    ],
    ids=["depth alone", "small", "flat", "holes"],
)
def test_cannot_judge_is_an_outcome(there: Served, images: dict[str, bytes], box: str, reason: str) -> None:
    response = there.decide(images, box=box)
    assert response.status_code == 200, response.text
    assert response.json()["outcome"] == "cannot_judge"
    assert reason in response.json()["reason"]
    assert response.json()["score"] is None


def test_a_batch_answers_as_its_captures_do_alone(there: Served) -> None:
    captures = [crop(k) for k in range(3)]
    captures[1].pop("depth")
    captures[2] = {"depth": captures[2]["depth"]}
    fields = [{"box": "full", "session": "s"}, {"box": "full", "depth_scale_m": 0.001}, {}]
    files = [(f"{k}.{name}", data) for k, images in enumerate(captures) for name, data in images.items()]
    response = there.http.post(
        f"/v1/sites/{SITE}/decisions/batch",
        files=[*files, ("captures", json.dumps(fields).encode())],
        headers=there.headers("score"),
    )
    assert response.status_code == 200, response.text
    answers = response.json()["decisions"]
    assert [a["outcome"] for a in answers] == ["scored", "scored", "cannot_judge"]
    for images, answer in zip(captures[:2], answers, strict=False):
        alone = there.decide(images).json()
        assert answer["score"] == pytest.approx(alone["score"], abs=1e-3)
        assert answer["missing"] == alone["missing"]
    for number, answer in enumerate(answers):
        assert answer["request_id"] == f"{response.json()['request_id']}.{number}"
        assert there.store.decision(answer["request_id"]) is not None


@pytest.mark.parametrize(
    ("captures", "files", "message"),
    [
        ("[{}]", {}, "capture 0: expected at least one of rgb"),
        ("[]", {}, "expected 1 to 32 captures, got 0"),
        (json.dumps([{}] * 33), {}, "expected 1 to 32 captures, got 33"),
        ("{}", {}, "expected a list of objects"),
        ("[NaN]", {}, "expected JSON"),
        ("[" * 3000, {}, "expected JSON"),
        ('[{"box": "full"}]', {"1.rgb": crop()["rgb"]}, "expected parts named 0.rgb"),
        ('[{"box": "full"}]', {"rgb": crop()["rgb"]}, "expected parts named 0.rgb"),
        ('[{"depth_scale_m": "0.001"}]', {"0.rgb": crop()["rgb"]}, "capture 0: depth_scale_m"),
        ('[{"depth_scale_m": true}]', {"0.rgb": crop()["rgb"]}, "capture 0: depth_scale_m"),
        ('[{"depth_scale_m": 1e309}]', {"0.rgb": crop()["rgb"]}, "capture 0: depth_scale_m"),
        ('[{"learn": 1}]', {"0.rgb": crop()["rgb"]}, "capture 0: learn"),
        ('[{"box": "full"}, {"box": "full"}]', {"0.rgb": crop()["rgb"], "1.rgb": b"x"}, "rgb: expected a PNG"),
    ],
)
def test_a_batch_with_a_fault_is_refused_whole(
    there: Served, captures: str, files: dict[str, bytes], message: str
) -> None:
    before = there.store.site(SITE).decisions
    response = there.http.post(
        f"/v1/sites/{SITE}/decisions/batch",
        files={**files, "captures": captures.encode()},
        headers=there.headers("score"),
    )
    assert response.status_code == 422
    assert message in response.json()["message"]
    assert there.store.site(SITE).decisions == before


def test_a_nonce_is_good_once_and_per_site(there: Served) -> None:
    there.store.add_site("other")
    assert there.decide(crop(), nonce="n-1").status_code == 200
    again = there.decide(crop(1), nonce="n-1")
    assert again.status_code == 409
    assert again.json()["code"] == "nonce_seen"
    assert there.decide(crop(), nonce="n-1", site="other").status_code == 200


TRAVERSAL = [
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\x",
    "file:///etc/passwd",
    "http://127.0.0.1/x",
    "data:image/png;base64,AAAA",
]


@pytest.mark.parametrize("text", [*TRAVERSAL, "%2e%2e%2f", "\x00", "~/.ssh/id_rsa"])
@pytest.mark.parametrize("field", ["rgb", "box", "depth_kind", "depth_scale_m", "path"])
def test_texts_are_never_opened(there: Served, field: str, text: str) -> None:
    fields = {"box": "full", field: text}
    files: dict[str, object] = {"ir": crop()["ir"], "rgb": (None, text)} if field == "rgb" else {"ir": crop()["ir"]}
    if field == "rgb":
        fields.pop("rgb")
    response = there.http.post(f"/v1/sites/{SITE}/decisions", files=files, data=fields, headers=there.headers("score"))
    assert response.status_code == 422
    assert set(response.json()) == {"code", "message", "request_id"}
    assert "passwd" not in response.text


@pytest.mark.parametrize("number", ["false", "0", "1e309", "NaN", "-1", "0x10", "1_000", " 0.001", "inf", "", "2"])
def test_numbers_are_numbers(there: Served, number: str) -> None:
    response = there.decide(crop(), depth_scale_m=number)
    assert response.status_code == 422
    assert "depth_scale_m" in response.json()["message"]


@pytest.mark.parametrize("box", ["1,2,3", "0,0,0,0", "0,0,-5,5", "a,b,c,d", "900,900,50,50", "1e9,0,1,1"])
def test_boxes_are_boxes(there: Served, box: str) -> None:
    assert there.decide(crop(), box=box).status_code == 422


def test_nothing_of_learning_is_told(there: Served) -> None:
    assert set(there.decide(crop()).json()) == set(DecisionAnswer.model_fields)
    learning = ("learn", "accept", "pseudo", "update", "gate", "quota", "adapt", "shadow", "reliab", "enhanc")
    assert not [name for name in DecisionAnswer.model_fields for word in learning if word in name]


def test_scores_can_be_withheld(tmp_path: Path) -> None:
    with served(tmp_path, tell_scores=False) as running:
        answer = running.decide(crop()).json()
        assert answer["outcome"] == "scored"
        assert answer["decision"] in ("bona_fide", "attack")
        assert answer["score"] is answer["uncertainty"] is None
        assert answer["modality_scores"] == {}
        kept = running.store.decision(answer["request_id"])
        assert kept is not None
        assert kept.score is not None


def test_without_keys_this_machine_may_score_and_nothing_else(tmp_path: Path) -> None:
    with served(tmp_path, keys=False) as running:
        address = f"/v1/sites/{SITE}/decisions"
        ask = {"files": {"rgb": crop()["rgb"]}, "data": {"box": "full"}}
        assert running.http.post(address, **ask).status_code == 200
        page = running.http.post(address, **ask, headers={"Origin": "https://elsewhere.example"})
        assert page.status_code == 403
        assert running.http.post(address, **ask, headers={"Host": "elsewhere.example"}).status_code == 403
        assert running.http.post(address, **ask, headers={"Origin": HOST}).status_code == 200
        assert running.http.get("/v1/sites").status_code == 401
        key, _ = running.store.add_key("first", [Scope.ADMIN])
        running.store.revoke_key(key.id)
        assert running.http.post(address, **ask).status_code == 401


def test_an_image_under_a_wrong_name_is_told_the_right_ones(there: Served) -> None:
    response = there.http.post(
        f"/v1/sites/{SITE}/decisions", files={"image": b"x" * 2000}, headers=there.headers("score")
    )
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert "part that is none of depth, ir, rgb: expected at most 1,024 bytes" in response.json()["message"]


def test_a_box_that_is_none_is_told_in_words(there: Served) -> None:
    files = {name: data for name, data in crop().items() if name == "rgb"}
    response = there.http.post(
        f"/v1/sites/{SITE}/decisions", files=files, data={"box": "1,2,3"}, headers=there.headers("score")
    )
    assert response.status_code == 422
    assert response.json()["message"] == "box: expected x,y,w,h, 'full' or nothing"
