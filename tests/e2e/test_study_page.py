"""A study's page in Chromium: from disk and behind its server, to the last answer; it needs nothing from outside."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import BROWSERS, EXECUTABLE

from reactface_jax.media.video import VideoWriter
from reactface_jax.study import command
from reactface_jax.study.answers import read_answers
from reactface_jax.study.server import Collector, make_app
from reactface_jax.study.study_file import read_study

playwright = pytest.importorskip("playwright.sync_api")

PHONE = {"width": 380, "height": 760}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for number, name in enumerate(("one", "two")):
        (folder / name).mkdir()
        for clip in "ab":
            with VideoWriter(folder / name / f"{clip}.mp4", size=(64, 128)) as writer:
                for frame in range(8):
                    writer.write(np.full((64, 128, 3), 90 * number + 9 * frame, np.uint8))
    out = folder / "study"
    command.build((f"one={folder / 'one'}", f"two={folder / 'two'}"), out, pairs=2, ratings=1, checks=1, participants=2)
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if EXECUTABLE is None:
        pytest.skip(f"no Chromium is installed: none of {', '.join(BROWSERS)} was found")
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        opened = driver.chromium.launch(executable_path=EXECUTABLE, args=arguments)
        yield opened
        opened.close()


def open_page(browser, address: str, viewport: dict[str, int]):
    tab = browser.new_page(viewport=viewport)
    tab.set_default_timeout(120_000)
    said: list[str] = []
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:"))
            else said.append(request.url)
        ),
    )
    tab.goto(address)
    tab.wait_for_selector("#start:enabled")
    return tab, said


def answer_all(tab, pages: int) -> None:
    """Everything by the keyboard, once the page is open."""
    tab.focus("#start")
    tab.keyboard.press("Enter")
    for place in range(pages):
        playwright.expect(tab.locator("#place")).to_have_text(f"{place + 1} of {pages}")
        assert tab.is_disabled("#next")
        assert tab.evaluate("document.getElementById('questions').disabled")
        for key in "ab"[: tab.evaluate("document.querySelectorAll('video').length")]:
            tab.keyboard.press(key)
            tab.wait_for_selector(f"figure.seen:nth-child({'ab'.index(key) + 1})")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for question in range(tab.evaluate("document.querySelectorAll('#questions fieldset').length")):
            tab.locator("#questions fieldset").nth(question).locator("input").first.focus()
            tab.keyboard.press("Space")
        tab.keyboard.press("Enter")
    tab.wait_for_selector("#end:not([hidden])")


def test_from_disk_a_participant_saves_a_file(browser, study: Path, tmp_path: Path) -> None:
    tab, said = open_page(browser, (study / "index.html").as_uri() + "?participant=anna&plan=2", PHONE)
    answer_all(tab, 4)
    with tab.expect_download() as download:
        tab.click("#save")
    assert download.value.suggested_filename == "anna.jsonl"
    download.value.save_as(tmp_path / "anna.jsonl")
    found = read_answers(tmp_path / "anna.jsonl", read_study(study))
    assert found.plan == 1
    assert sorted(found.by_trial) == [0, 1, 2, 3]
    assert {value for answers in found.by_trial.values() for value in answers.values()} <= {0, 1}
    tab.close()
    assert said == []


def test_behind_the_server_each_answer_is_stored_and_a_reload_goes_on(browser, study: Path) -> None:
    import uvicorn

    collector = Collector(read_study(study), study)
    config = uvicorn.Config(make_app(collector, study), port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        tab, said = open_page(browser, f"http://127.0.0.1:{port}/?participant=bert", {"width": 1100, "height": 800})
        tab.click("#start")
        tab.keyboard.press("a")
        tab.wait_for_selector("figure.seen")
        path = study / "results" / "bert.jsonl"
        assert len(path.read_text().splitlines()) == 1
        tab.reload()
        tab.wait_for_selector("#start:enabled")
        answer_all(tab, 4)
        assert len(path.read_text().splitlines()) == 5
        assert all(json.loads(line)["seconds"] > 0 for line in path.read_text().splitlines()[1:])
        tab.reload()
        playwright.expect(tab.locator("#extent")).to_have_text("Welcome back: 0 of 4 pages are left.")
        tab.close()
        assert said == []
    finally:
        server.should_exit = True
        thread.join(10)
