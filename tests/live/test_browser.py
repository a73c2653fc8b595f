"""The page in a real browser, whose camera and microphone are files: it smiles back, and its controls act."""

import re
import wave

import numpy as np
import pytest
from chromium import EXECUTABLE
from delayed_smile import SMILES
from drawn_speaker import FRAMES

from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium on this machine")

SMILE = SMILES[0]
SMILES_BACK = f"() => listener.history.some(([, faces]) => faces[0][{SMILE}] > 0.3)"
BLINKS = [i for i, name in enumerate(COEFFICIENT_NAMES) if name.startswith("eyeBlink")]


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


@pytest.fixture(scope="module")
def engine():
    with playwright.sync_playwright() as engine:
        yield engine


def browse(engine, flags: list[str]):
    sandbox = ["--no-sandbox", "--disable-background-networking", "--use-gl=angle", "--use-angle=swiftshader"]
    return engine.chromium.launch(executable_path=EXECUTABLE, args=[*sandbox, *flags], timeout=120_000)


def open_page(browser, port: int, **size: int):
    """A page that keeps what it asks for and what goes wrong in it."""
    context = browser.new_context(viewport={"width": size.get("width", 1000), "height": 800})
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.requests, page.problems = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda line: page.problems.append(line.text) if line.type == "error" else None)
    page.goto(f"http://127.0.0.1:{port}/?token=secret")
    return page


def until(page, condition: str, *arguments: object) -> None:
    """Asks again and again: the page's own policy forbids the browser's way of waiting, which evaluates text."""
    for _ in range(600):
        if page.evaluate(condition, *arguments):
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"{condition} did not come true; the page says: {page.text_content('#message')}")


def test_it_smiles_back_and_controls_act(serve, engine, camera):
    browser = browse(engine, camera)
    with serve(reactions=1, most=3) as (port, live):
        page = open_page(browser, port)
        page.click("#start")
        until(page, SMILES_BACK)
        until(page, r"() => /p50\d+ ms.*p99\d+ ms/.test(document.getElementById('figures').textContent)")
        assert live.talking == 1
        assert page.evaluate("() => listener.capture.lastSample > 0")  # it hears, too

        page.click("#pause")
        page.wait_for_timeout(300)
        drawn = page.evaluate("() => listener.shown.number")
        page.wait_for_timeout(600)
        assert page.evaluate("() => listener.shown.number") == drawn
        page.click("#pause")
        until(page, "drawn => listener.shown.number !== drawn", drawn)

        # Three faces side by side, at once; the second one leads.
        page.click("#reactions label:nth-of-type(3)")
        assert page.evaluate("() => shown()") == [0, 1, 2]
        page.click("#cells button:nth-of-type(2)")
        assert page.evaluate("() => [state.chosen, settings().chosen]") == [1, 1]
        page.click("#reactions label:nth-of-type(1)")
        assert page.evaluate("() => shown()") == [1]

        page.fill("#amplitude", "0")
        assert page.text_content("#sliders output") == "0.00"
        page.evaluate("() => { listener.history.length = 0; }")
        until(page, "() => listener.history.length >= 100")  # more than once through the file
        faces = np.array(page.evaluate("() => listener.history.slice(-75).map(([, faces]) => [...faces[0]])"))
        assert np.delete(faces, BLINKS, axis=1).std(axis=0).max() < 1e-6  # stands still

        second = open_page(browser, port)
        second.click("#start")
        until(second, "() => /Somebody is talking/.test(document.getElementById('message').textContent)")
        page.reload()
        page.click("#start")
        until(page, "() => listener.history.length > 10")
        page.click("#start")  # which is Stop now
        until(page, "() => !listener.capture && !document.querySelector('#own.on')")
        assert not page.problems
        own = re.compile(rf"^(http|ws)://127\.0\.0\.1:{port}/|^(data|blob):")
        assert page.requests
        assert all(own.match(url) for url in page.requests + second.requests)
    browser.close()


def test_a_refused_camera_is_explained_and_a_phone_is_wide_enough(serve, engine):
    browser = browse(engine, ["--use-fake-ui-for-media-stream=deny", "--use-fake-device-for-media-stream"])
    with serve() as (port, live):
        page = open_page(browser, port, width=390)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
        page.click("#start")
        page.wait_for_selector("#message.error")
        assert "The camera was refused. Allow it" in page.text_content("#message")
        assert page.text_content("#start") == "Start"
        until(page, "() => !listener.socket")
        controls = "[...document.querySelectorAll('button, input, select')]"
        boxes = page.evaluate(f"() => {controls}.map((each) => each.getBoundingClientRect().right)")
        assert max(boxes) <= 390
        assert live.talkers == 1
    browser.close()


def test_a_camera_without_a_microphone_is_seen_only(serve, engine, camera):
    """The browser has no microphone; the page says so, and the listener answers what it sees."""
    browser = browse(engine, camera)
    with serve() as (port, _):
        page = open_page(browser, port)
        page.evaluate(
            """() => {
              const media = navigator.mediaDevices, open = media.getUserMedia.bind(media);
              const none = () => Promise.reject(new DOMException("", "NotFoundError"));
              media.getUserMedia = (want) => (want.audio ? none() : open(want));
            }"""
        )
        page.click("#start")
        until(page, SMILES_BACK)
        assert "No microphone: the listener sees you" in page.text_content("#message")
    browser.close()


@pytest.mark.parametrize(("at", "hears"), [("own rate", True), ("none", False)])
def test_the_microphone_as_other_browsers_have_it(serve, engine, camera, at: str, hears: bool):
    """Firefox takes it into a context of its own rate only; where it can't be heard at all, the camera goes on."""
    browser = browse(engine, camera)
    with serve() as (port, _):
        page = open_page(browser, port)
        page.evaluate(
            """(at) => {
              const own = new AudioContext().sampleRate;
              const take = AudioContext.prototype.createMediaStreamSource;
              AudioContext.prototype.createMediaStreamSource = function (media) {
                if (at === "none" || this.sampleRate !== own) throw new DOMException("", "NotSupportedError");
                return take.call(this, media);
              };
            }""",
            at,
        )
        page.click("#start")
        until(page, SMILES_BACK)
        assert page.evaluate("() => listener.capture.lastSample > 0") == hears
        assert ("No microphone: the listener sees you" in page.text_content("#message")) != hears
        assert not page.problems
    browser.close()


def test_sound_is_brought_to_16_khz(serve, engine):
    """A tone of 440 Hz at four rates, against the sine itself at the times that are said."""
    browser = browse(engine, [])
    with serve() as (port, _):
        page = open_page(browser, port)
        for rate in (8000, 16_000, 44_100, 48_000):
            blocks = page.evaluate(
                """async (rate) => {
                  const context = new OfflineAudioContext(1, rate, rate), blocks = [];
                  await context.audioWorklet.addModule("worklet.js");
                  const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
                  tap.port.onmessage = ({ data }) => blocks.push([data.time, [...data.samples]]);
                  const tone = new OscillatorNode(context, { frequency: 440 });
                  tone.connect(tap);
                  tone.start();
                  await context.startRendering();
                  await new Promise((done) => setTimeout(done, 200));
                  return blocks;
                }""",
                rate,
            )
            assert len(blocks) >= 49
            for number, (begins, samples) in enumerate(blocks):
                assert len(samples) == 320
                assert begins == pytest.approx(number / 50, abs=1e-9)
            sound = np.concatenate([samples for _, samples in blocks]) / 32767
            times = np.arange(len(sound)) / 16_000
            np.testing.assert_allclose(sound[100:], np.sin(2 * np.pi * 440 * times)[100:], atol=5e-3)
    browser.close()


def test_the_camera_is_let_go_when_the_program_ends_before_it_is_allowed(serve, engine, camera):
    browser = browse(engine, camera)
    with serve() as (port, _):
        page = open_page(browser, port)
        page.evaluate(
            """() => {
              const media = navigator.mediaDevices, open = media.getUserMedia.bind(media);
              const allowed = new Promise((done) => { window.allow = done; });
              media.getUserMedia = async (want) => { await allowed; return (window.given = await open(want)); };
            }"""
        )
        page.click("#start")
        until(page, "() => !!listener.capture")
        page.evaluate("() => listener.socket.close()")
        until(page, "() => !listener.capture")
        said = page.text_content("#message")
        page.evaluate("() => allow()")
        until(page, "() => !!window.given")
        until(
            page, "() => given.getTracks().length && given.getTracks().every((track) => track.readyState === 'ended')"
        )
        assert said.startswith("The connection ended.")
        assert page.text_content("#message") == said
        assert page.text_content("#start") == "Start"

        # And when it is taken away later, that is said: first the microphone, then the camera.
        page.click("#start")
        until(page, SMILES_BACK)
        end = "(kind) => given.getTracks().find((each) => each.kind === kind).dispatchEvent(new Event('ended'))"
        page.evaluate(end, "audio")
        assert "No microphone: the listener sees you" in page.text_content("#message")
        page.evaluate(end, "video")
        assert "The camera has ended." in page.text_content("#message")
        assert page.text_content("#start") == "Start"
        until(page, "() => given.getTracks().every((track) => track.readyState === 'ended')")
        assert not page.problems
    browser.close()
