"""The console as a person uses it, in a real browser: signs in, tries a capture, watches a site learn, decides."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("torch")
pytest.importorskip("playwright")

from playwright import sync_api

from mfas.core import Modality
from mfas.data.manifest import Row, read_manifest
from mfas.service.keys import Scope
from mfas.service.running import Service
from mfas.service.serving import Server
from mfas.service.settings import ServeConfig
from mfas.service.signing import Secret
from mfas.service.states import SOURCE, Policy
from mfas.service.store import Store

CHROMIUM = Path("/usr/bin/chromium")
SITE = "kiosk"
WAIT_MS = 60_000
ROUNDS = 20
LEARNING: dict[str, Any] = {
    "settings": {
        "update_every": 4,
        "batch_per_class": 4,
        "min_per_class": 1,
        "min_share": 0.0,
        "learning_rate": 1e-3,
    },
    "updates_per_candidate": 2,
    "batch": 8,
    "wait_seconds": 0.1,
}
LOOSE = {"flips": 1.0, "species": 1.0, "bpcer": 1.0, "spoof_rise": 1.0, "cool_down": 0}


@dataclass
class Shown:
    """A service that runs, and a page of a browser that is turned to it."""

    url: str
    store: Store
    keys: dict[str, str]
    page: Any
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def sign_in(self, scope: str) -> None:
        self.open("/console")
        self.page.get_by_label("API key").fill(self.keys[scope])
        self.page.get_by_role("button", name="Sign in").click()
        self.sees("heading", "Sites")

    def sees(self, role: str, name: str) -> None:
        sync_api.expect(self.page.get_by_role(role, name=name, exact=True)).to_be_visible(timeout=WAIT_MS)

    def reads(self, text: str) -> None:
        sync_api.expect(self.page.locator("main")).to_contain_text(text, timeout=WAIT_MS)


@contextmanager
def running(folder: Path, canary: Path) -> Iterator[tuple[str, Store, dict[str, str]]]:
    """A server on a free port, in a thread of its own."""
    url = f"sqlite:///{folder / 'service.db'}"
    limits = {"rate_per_second": 1e6, "burst": 1_000_000}
    learning = {**LEARNING, "source_canary": canary}
    config = ServeConfig.model_validate({"database": url, "workers": 1, "limits": limits, "learning": learning})
    store = Store(url, power_safe=False, bounds=config.bounds.model_copy(update=LOOSE))
    store.migrate()
    store.add_site(SITE, Policy.APPROVE)
    keys = {scope.value: store.add_key(f"{scope} of tests", [scope])[1] for scope in Scope}
    server = Server(Service(config, store, Secret(bytes(32))))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", store, keys
        finally:
            server.should_exit = True
            thread.join(60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def shown(browser: Any, site: Path, tmp_path: Path) -> Iterator[Shown]:
    """Whatever the browser complains of (a policy that is broken, a script that fails) fails the test."""
    with running(tmp_path, site / "manifest.parquet") as (url, store, keys):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
        context.set_default_timeout(WAIT_MS)
        found = Shown(url, store, keys, context.new_page())
        found.page.on("pageerror", lambda error: found.faults.append(str(error)))
        found.page.on("console", lambda told: found.faults.append(told.text) if told.type == "error" else None)
        yield found
        context.close()
        assert found.faults == []


def rows(site: Path) -> list[Row]:
    return list(read_manifest(site / "manifest.parquet"))


def send(shown: Shown, site: Path) -> None:
    """Captures of the simulated site, each of another person, until a candidate waits.

    Again and again: until the learner has scored its canary for the first time it takes none.
    """
    headers = {"Authorization": f"Bearer {shown.keys['score']}"}
    root = read_manifest(site / "manifest.parquet").root
    with httpx.Client(headers=headers, timeout=120) as client:
        for number, row in enumerate(ROUNDS * rows(site)):
            if shown.store.site(SITE).candidate is not None:
                return
            files = {m.value: (root / row.path(m)).read_bytes() for m in row.modalities}
            told = {"box": row.box, "subject": f"person {number}", "depth_scale_m": str(row.depth_scale_m)}
            answer = client.post(f"{shown.url}/v1/sites/{SITE}/decisions", files=files, data=told)
            assert answer.status_code == 200, answer.text


def test_an_operator_watches_a_site_learn_and_decides(shown: Shown, site: Path) -> None:
    page = shown.page
    shown.sign_in("admin")
    shown.reads("No decision in the last 24 hours.")
    page.get_by_role("link", name=SITE, exact=True).click()
    shown.reads("The shadow has not looked at a capture yet.")

    send(shown, site)
    shown.sees("heading", "A candidate waits for you")  # the page looks again by itself
    made = shown.store.site(SITE).candidate
    assert made is not None
    shown.reads("BPCER")

    page.get_by_role("link", name="Approve").click()
    page.get_by_label("Why").fill("looked at the canary")
    page.get_by_role("button", name="Approve").click()
    shown.reads("The candidate is in force.")
    assert shown.store.site(SITE).state == made

    page.get_by_role("link", name="Roll back").click()
    page.get_by_role("button", name="Roll back").click()
    shown.reads("The site was rolled back.")
    assert shown.store.site(SITE).state == SOURCE

    page.get_by_role("link", name="Freeze").click()
    page.get_by_role("button", name="Freeze").click()
    shown.reads("The site is frozen")
    assert shown.store.site(SITE).frozen
    shown.reads("looked at the canary")

    page.get_by_role("link", name="Ledger").click()
    page.get_by_role("button", name="Verify").click()
    shown.reads("It is whole")
    page.get_by_role("button", name="Sign out").click()
    shown.sees("heading", "Sign in")


def test_a_capture_is_tried(shown: Shown, site: Path) -> None:
    page, row = shown.page, next(row for row in rows(site) if len(row.modalities) == len(Modality))
    root = read_manifest(site / "manifest.parquet").root
    shown.sign_in("admin")
    page.get_by_role("link", name="Try it").click()
    for modality in Modality:
        page.locator(f"#{modality.value}").set_input_files(root / row.path(modality))
    sync_api.expect(page.locator(".preview:visible")).to_have_count(3, timeout=WAIT_MS)
    if row.box == "full":
        page.get_by_label("Face").select_option("full")
    page.get_by_role("button", name="Decide").click()
    sync_api.expect(page.locator("#answer .verdict")).to_be_visible(timeout=WAIT_MS)
    sync_api.expect(page.get_by_alt_text("Face crop")).to_have_count(3, timeout=WAIT_MS)
    page.get_by_role("link", name="The page of this decision").click()
    shown.reads("No picture is kept.")
    assert shown.store.steps(SITE) == ()


def test_files_that_are_dropped_find_their_place_by_name(shown: Shown, site: Path) -> None:
    page = shown.page
    shown.sign_in("score")
    page.get_by_role("link", name="Try it").click()
    page.evaluate(
        """() => {
            const dropped = new DataTransfer();
            for (const name of ["x_nir.png", "x_depth.png", "x_color.jpg"])
                dropped.items.add(new File(["x"], name, {type: "image/png"}));
            const form = document.querySelector("[data-drop]");
            form.dispatchEvent(new DragEvent("drop", {dataTransfer: dropped, bubbles: true, cancelable: true}));
        }"""
    )
    names = {m.value: page.locator(f"#{m.value}").evaluate("one => one.files[0].name") for m in Modality}
    assert names == {"rgb": "x_color.jpg", "depth": "x_depth.png", "ir": "x_nir.png"}


def test_by_keyboard_alone_and_on_a_phone(shown: Shown) -> None:
    page = shown.page
    page.set_viewport_size({"width": 360, "height": 740})
    shown.open("/console")
    page.get_by_label("API key").fill(shown.keys["admin"])
    page.keyboard.press("Enter")
    shown.sees("heading", "Sites")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == SITE
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    shown.sees("heading", SITE)
    for path in ("/console", f"/console/sites/{SITE}", f"/console/sites/{SITE}/try", "/console/ledger"):
        shown.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_everything_goes_without_scripts(shown: Shown, browser: Any) -> None:
    plain = browser.new_context(java_script_enabled=False)
    plain.set_default_timeout(WAIT_MS)
    page = plain.new_page()
    page.goto(f"{shown.url}/console")
    page.get_by_label("API key").fill(shown.keys["operate"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name=SITE, exact=True).click()
    page.get_by_role("link", name="Freeze").click()
    page.get_by_label("Why").fill("maintenance")
    page.get_by_role("button", name="Freeze").click()
    sync_api.expect(page.locator("main")).to_contain_text("The site is frozen", timeout=WAIT_MS)
    assert shown.store.site(SITE).frozen
    plain.close()
