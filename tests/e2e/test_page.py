"""The page of an evaluation, opened in Chromium: it plays, sorts, and needs nothing from outside."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from chromium import BROWSERS, EXECUTABLE

from reactface_jax.evaluation import page, report
from reactface_jax.evaluation import rows as evaluation
from reactface_jax.evaluation.attention_maps import AttentionMap
from reactface_jax.evaluation.page.packing import LEVELS
from reactface_jax.evaluation.page.recordings import record
from reactface_jax.media.video import read_video
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, HeadRenderer
from reactface_jax.study.sources import EvaluationPage, clip_name
from reactface_jax.types import NUM_COEFFICIENTS

playwright = pytest.importorskip("playwright.sync_api")

NUM_CLIPS, FRAMES, REACTIONS = 5, 50, 3
NAMES = (*ARKIT_NAMES, *(f"{kind}_{axis}" for kind in ("rotation", "translation") for axis in "xyz"))


def faces(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Smooth raw coefficients around the face at rest."""
    moving = generator.standard_normal((*shape, FRAMES, NUM_COEFFICIENTS)).cumsum(-2) * 0.02
    moving[..., 52:] *= 0.1
    return (NEUTRAL + np.where(np.arange(NUM_COEFFICIENTS) < 52, np.abs(moving), moving)).astype(np.float32)


@pytest.fixture(scope="module")
def clips() -> evaluation.Clips:
    generator = np.random.default_rng(0)
    people = faces(generator, 2, NUM_CLIPS)
    # One name would end a script or a tag early if it were not escaped.
    names = ["</script><b>", *(f"NoXI/{i}" for i in range(1, NUM_CLIPS))]
    return evaluation.Clips(*people, np.ones((NUM_CLIPS, NUM_CLIPS), bool), names, NAMES)


@pytest.fixture(scope="module")
def content(clips) -> tuple[report.Report, page.Contents]:
    generator = np.random.default_rng(1)
    given = {name: faces(generator, NUM_CLIPS, REACTIONS) for name in ("First", "Second")}
    rows = [
        evaluation.evaluate(name, array, clips) for name, array in ({"GT": clips.listener[:, None]} | given).items()
    ]
    whole = report.Report(rows, None, "made", {"clips": NUM_CLIPS, "sha256": {"First": "0"}}, {"jax": "1"})
    frames = [np.full((64, 64, 3), 4 * i, np.uint8) for i in range(FRAMES)]
    voice = (8000 * np.sin(np.arange(FRAMES * 640) / 10)).astype(np.int16)
    shown = [
        page.Shown(clip, why, record(frames, frames, voice, FRAMES) if place == 0 else None)
        for place, (clip, why) in enumerate(page.choose_clips(rows[-1], 3, seed=0))
    ]
    maps = [
        AttentionMap("First", "VIM", 8, np.tri(8, dtype=np.float32)),
        AttentionMap("Second", "MIM", 8, np.ones((8, 16), np.float32)),
    ]
    return whole, page.Contents(clips, given, shown, page.arkit_head(NAMES), attention=maps)


@pytest.fixture(scope="module")
def path(content, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    size = page.write_page(*content, folder)
    assert size == (folder / page.PAGE_NAME).stat().st_size < 2**20
    return folder / page.PAGE_NAME


@pytest.fixture(scope="module")
def browser():
    if EXECUTABLE is None:
        pytest.skip(f"no Chromium is installed: none of {', '.join(BROWSERS)} was found")
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--enable-unsafe-swiftshader", "--autoplay-policy=no-user-gesture-required"]
        opened = driver.chromium.launch(executable_path=EXECUTABLE, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def opened(browser, path):
    """The page, and everything that it complained of or asked for."""
    tab = browser.new_page(viewport={"width": 1000, "height": 800})
    tab.set_default_timeout(120_000)
    complaints: list[str] = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    tab.on(
        "request",
        lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else complaints.append(request.url),
    )
    tab.goto(path.as_uri())
    tab.wait_for_function("player.tracks.length > 0")
    yield tab
    assert complaints == []


def test_a_study_reads_its_faces_and_recordings(path, clips, content):
    page_of_study = EvaluationPage(path.parent)
    index = content[1].shown[0].index  # the one that has a recording
    (clip,) = page_of_study.clips()
    assert clip == clip_name(str(clips.clip_ids[index]))
    for name, faces in (("GT", clips.listener[index]), ("Second", content[1].reactions["Second"][index, 0])):
        spread = np.ptp(faces, axis=0).max() + 1
        np.testing.assert_allclose(page_of_study.coefficients(clip, name), faces, atol=2 * spread / LEVELS)
    with page_of_study.recording(clip) as film:
        assert read_video(film).shape[0] == FRAMES


# ---- In the browser


def test_it_begins_with_the_method_that_the_others_are_compared_with(opened):
    assert opened.evaluate("[player.method, document.getElementById('method').value]") == ["Second", "Second"]


def test_it_plays_recording_and_faces_in_step(opened):
    assert opened.evaluate("[player.faces !== null, player.recorded]") == [True, True]
    opened.wait_for_function("video.readyState >= 2")
    opened.click("#play")
    # Within the page, since a slow machine may reach the end before the next command arrives.
    opened.wait_for_function("player.playing && player.frame > 5 && (stop(), true)", polling="raf")
    frame, seconds, paused = opened.evaluate("[player.frame, video.currentTime, video.paused]")
    assert paused
    assert frame == min(FRAMES - 1, int(25 * seconds + 1e-3))
    assert opened.evaluate("video.duration") == pytest.approx(2, abs=0.1)
    # A clip without a recording has its own clock, and ends.
    opened.click(".clip >> nth=2")
    opened.wait_for_function("!player.recorded && player.tracks.length > 0")
    opened.click("#play")
    opened.wait_for_function(f"player.frame === {FRAMES - 1} && !player.playing")


def test_faces_play_where_the_browser_can_not_decode_the_recording(opened):
    clip = opened.evaluate("PAGE.clips.find((each) => each.recorded).clip")
    opened.evaluate("(clip) => { player.recordings[clip] = URL.createObjectURL(new Blob(['no video'])); }", clip)
    opened.evaluate("choose", clip)
    opened.wait_for_selector("#no-recording", state="visible")
    assert opened.locator("figure.recording").is_hidden()
    opened.click("#play")
    opened.wait_for_function(f"player.frame === {FRAMES - 1} && !player.playing")
    opened.evaluate("(clip) => { delete player.recordings[clip]; }", clip)
    opened.evaluate("choose", clip)
    assert opened.evaluate("player.recorded")
    assert opened.locator("#no-recording").is_hidden()


def test_a_face_is_drawn_as_the_renderer_draws_it(opened, clips):
    opened.evaluate("choose(PAGE.clips[0].clip).then(() => seek(30))")
    pixels = opened.evaluate(
        """() => {
          const { gl, canvas } = player.faces;
          draw();
          const box = boxes(drawn().length)[0], ratio = canvas.width / canvas.clientWidth;
          const side = Math.round(box.size * ratio), pixels = new Uint8Array(4 * side * side);
          gl.readPixels(0, canvas.height - side, side, side, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
          return [side, [...pixels]];
        }"""
    )
    side, picture = pixels[0], np.array(pixels[1], np.uint8).reshape(pixels[0], pixels[0], 4)[::-1, :, :3]
    clip = opened.evaluate("player.about.clip")
    renderer = HeadRenderer((side, side), names=ARKIT_NAMES)
    expected = renderer.render(clips.speaker[clip, 30])
    renderer.close()
    # The backgrounds are others.
    inside = np.abs(expected.astype(int) - expected[0, 0]).max(-1) > 8
    difference = np.abs(picture.astype(int) - expected).max(-1)[inside]
    assert 0.2 < inside.mean() < 0.8
    assert np.median(difference) <= 4
    assert (difference > 40).mean() < 0.06  # edges are smoothed here and not there


def test_coefficients_arrive(opened, clips):
    values = opened.evaluate("[...player.tracks.find((t) => t.kind === 'listener').values]")
    clip = opened.evaluate("player.about.clip")
    expected = clips.listener[clip]
    range_of_clip = opened.evaluate("player.about.step").copy()
    found = np.array(values).reshape(expected.shape)
    assert (np.abs(found - expected) <= 0.51 * np.array(range_of_clip)[None] + 1e-5).all()
    assert LEVELS == 4095


def test_a_table_sorts(opened):
    rows = "[...document.querySelector('#figures table').tBodies[0].rows]"
    names = f"{rows}.map((row) => row.cells[0].textContent)"
    values = f"{rows}.map((row) => Number(row.cells[4].dataset.value))"
    assert opened.evaluate(names) == ["GT", "First", "Second"]
    heading = opened.locator("#figures table").first.locator("thead th").nth(4)
    assert heading.inner_text().startswith("FRCorr")
    heading.locator("button").click()
    falling = opened.evaluate(values)
    assert falling == sorted(falling, reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    heading.locator("button").click()
    assert opened.evaluate(values) == falling[::-1]
    assert opened.evaluate(names)[-1] == "GT"


def test_choices(opened):
    opened.select_option("#method", "First")
    assert (
        opened.evaluate("drawn().filter((track) => track.kind === 'reaction').map((track) => track.method)")
        == ["First"] * REACTIONS
    )
    opened.select_option("#channel", label="jawOpen")
    assert opened.evaluate("PAGE.channels[player.channel]") == "jawOpen"
    opened.locator(".cell:not(.real)").nth(1).click()
    assert opened.evaluate("player.chosen") == 1
    opened.mouse.move(300, 300)
    before = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    opened.click("#theme")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") != before
    assert opened.locator("#attention figcaption b").all_inner_texts() == ["VIM of First", "MIM of Second"]
    assert opened.evaluate("document.querySelectorAll('#lags svg').length") == 3


# ---- The text


def test_one_file_without_addresses(path):
    text = path.read_text()
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", text)
    assert "http" not in re.sub(r'<script type="text/plain".*?</script>', "", text)
    assert "{{" not in text.replace("${{", "")
    assert "&lt;/script&gt;&lt;b&gt;" in text
    assert "</script><b>" not in text


def test_what_can_not_be_shown_is_said(content, tmp_path):
    whole, contents = content
    head, why = page.head_for((), NUM_COEFFICIENTS)
    assert head is None
    assert "--coefficient-names" in why
    assert "25 channels" in page.head_for((), 25)[1]
    of_one = page.to_html(whole, dataclasses.replace(contents, attention=contents.attention[:1]))
    assert "<figcaption><b>VIM</b>," in of_one
    text = page.to_html(whole, dataclasses.replace(contents, head=head, no_head=why, attention=(), shown=()))
    assert 'id="head-about"' not in text
    assert '<section id="attention">' not in text


def test_clips_are_the_best_the_worst_and_some_others(content):
    whole, _ = content
    row = whole.rows[-1]
    chosen = page.choose_clips(row, 3, seed=0)
    scores = row.measured.concordance.varying_channels.mean(1)
    assert chosen[0] == (int(scores.argmax()), "best")
    assert chosen[-1] == (int(scores.argmin()), "worst")
    assert chosen[1][1] == "drawn"
    assert sorted(clip for clip, _ in page.choose_clips(row, 99, seed=0)) == list(range(NUM_CLIPS))
    assert page.choose_clips(row, 1, seed=0) == chosen[:1]
