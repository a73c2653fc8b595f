"""The page in a real browser, whose camera and microphone are files: it smiles back, and its controls act."""

import re
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
from drawn_speaker import FRAMES

playwright = pytest.importorskip("playwright.sync_api")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
EXECUTABLE = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = [pytest.mark.long, pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium on this machine")]

SMILE = "mouthSmileLeft"
SMILES = f"""() => listener.history.some(([, faces]) => faces[0][PAGE.channels.indexOf("{SMILE}")] > 0.3)"""


@pytest.fixture(scope="module")
def camera(speaker_jpegs, tmp_path_factory) -> list[str]:
    """Chromium's flags: the drawn speaker, again and again, with a quiet tone."""
    folder = tmp_path_factory.mktemp("camera")
    (folder / "camera.mjpeg").write_bytes(b"".join(speaker_jpegs))
    with wave.open(str(folder / "voice.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        tone = 3000 * np.sin(np.arange(48_000 * FRAMES // 25) / 20)
        file.writeframes(tone.astype("<i2").tobytes())
    return [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={folder / 'camera.mjpeg'}",
        f"--use-file-for-fake-audio-capture={folder / 'voice.wav'}",
    ]


def browse(flags: list[str]):
    """A browser with these flags, and what closes it."""
    engine = playwright.sync_playwright().start()
    sandbox = ["--no-sandbox", "--disable-background-networking", "--use-gl=angle", "--use-angle=swiftshader"]
    return engine, engine.chromium.launch(executable_path=EXECUTABLE, args=[*sandbox, *flags])


@pytest.fixture
def browser(camera):
    engine, browser = browse(camera)
    yield browser
    browser.close()
    engine.stop()


def open_page(browser, port: int, **size: int):
    context = browser.new_context(viewport={"width": size.get("width", 1000), "height": 800})
    page = context.new_page()
    page.requests, page.problems = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto(f"http://127.0.0.1:{port}/?token=secret")
    return page


def until(page, condition: str, *arguments: object) -> None:
    """Asks again and again: the page's own policy forbids the browser's way of waiting, which evaluates text."""
    for _ in range(300):
        if page.evaluate(condition, *arguments):
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"{condition} did not come true; the page says: {page.text_content('#message')}")


def test_it_smiles_back_and_controls_act(serve, browser, tmp_path: Path):
    with serve() as (port, live):
        page = open_page(browser, port)
        page.click("#start")
        until(page, SMILES)
        until(page, "() => /p50 \\d+ ms, p99 \\d+ ms/.test(document.getElementById('figures').textContent)")
        assert live.talking == 1
        assert page.evaluate("() => listener.capture.lastSample > 0")  # it hears, too
        page.screenshot(path=str(tmp_path / "live.png"))

        page.click("#pause")
        page.wait_for_timeout(600)
        number = page.evaluate("() => listener.shown.number")
        page.wait_for_timeout(600)
        assert page.evaluate("() => listener.shown.number") == number
        page.click("#pause")
        until(page, "number => listener.shown.number !== number", number)

        page.select_option("#reactions", "3")
        until(page, "() => listener.shown?.faces.length === 3")
        page.fill("#amplitude", "0.5")
        assert page.text_content("#sliders output") == "0.50"

        second = open_page(browser, port)
        second.click("#start")
        until(second, "() => /Somebody is talking/.test(document.getElementById('message').textContent)")
        page.reload()
        page.click("#start")
        until(page, "() => listener.history.length > 10")
        assert not page.problems
        own = re.compile(rf"^(http|ws)://127\.0\.0\.1:{port}/|^(data|blob):")
        assert all(own.match(url) for url in page.requests + second.requests)


def test_a_refused_camera_is_explained_and_a_phone_is_wide_enough(serve):
    engine, browser = browse(["--deny-permission-prompts"])
    try:
        with serve() as (port, _):
            page = open_page(browser, port, width=390)
            page.click("#start")
            page.wait_for_selector("#message.error", timeout=30_000)
            assert re.search("camera", page.text_content("#message"))
            assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    finally:
        browser.close()
        engine.stop()
