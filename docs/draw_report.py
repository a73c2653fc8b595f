"""Draws docs/images/report_player.png and report_figures.png, pictures of an evaluation's page in Chromium.

    reactface dyads --out raw --clips 240 --seconds 8 --takes 2 --seed 0
    reactface prepare shards --raw raw --out shards
    reactface eval --data shards --truth raw/dyads.json --ceilings --data.eval-frames 250 --out evaluation
    python docs/draw_report.py evaluation/report.html --frame 181 --browser chromium-headless-shell

The player is drawn in light, the first tables in the dark.
"""

import argparse
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from reactface_jax.errors import UserError, reports_user_errors

IMAGES = Path(__file__).parent / "images"
CHANNEL = "mouthSmileLeft"


@reports_user_errors
def main() -> None:
    """Draws both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--frame", type=int, default=100, help="of 25 a second")
    parser.add_argument("--browser", default="chromium", help="the program")
    arguments = parser.parse_args()
    browser = shutil.which(arguments.browser)
    if browser is None:
        raise UserError(f"--browser {arguments.browser} is not installed; give a Chromium that is")
    if not arguments.page.is_file() or 'id="page"' not in arguments.page.read_text(encoding="utf-8", errors="replace"):
        raise UserError(f"{arguments.page} is no page of an evaluation; give the report.html of `reactface eval`")
    with sync_playwright() as driver:
        flags = ["--no-sandbox", "--enable-unsafe-swiftshader"]
        chromium = driver.chromium.launch(executable_path=browser, args=flags)
        tab = chromium.new_page(viewport={"width": 1072, "height": 1100})
        tab.goto(arguments.page.resolve().as_uri())
        tab.wait_for_function("player.tracks.length > 0")
        tab.select_option("#channel", label=CHANNEL)
        tab.evaluate(f"seek({arguments.frame})")
        tab.wait_for_function("!player.recorded || (video.readyState >= 2 && !video.seeking)")
        tab.wait_for_timeout(1000)  # the recording's picture is drawn after that
        tab.locator("#player").screenshot(path=IMAGES / "report_player.png")
        tab.emulate_media(color_scheme="dark")
        tab.wait_for_timeout(500)
        tab.evaluate("document.getElementById('figures').scrollIntoView({behavior: 'instant'})")
        tab.screenshot(path=IMAGES / "report_figures.png")
        chromium.close()
    for name in ("report_player.png", "report_figures.png"):  # a third of the bytes
        Image.open(IMAGES / name).quantize(256, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)


if __name__ == "__main__":
    main()
