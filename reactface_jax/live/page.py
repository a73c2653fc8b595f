"""The page of the live listener and the files that it loads, all from this package."""

import json
from functools import cache
from pathlib import Path

from reactface_jax.evaluation.page.head import arkit_head, pack_head
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.live.session import Settings
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL

_TEMPLATE = Path(__file__).parent / "template"
_SHARED = Path(__file__).parents[1] / "evaluation" / "page" / "template"
FILES = {
    "live.js": (_TEMPLATE, "text/javascript"),
    "capture.js": (_TEMPLATE, "text/javascript"),
    "curves.js": (_TEMPLATE, "text/javascript"),
    "worklet.js": (_TEMPLATE, "text/javascript"),
    "live.css": (_TEMPLATE, "text/css"),
    "data.js": (_SHARED, "text/javascript"),
    "head.js": (_SHARED, "text/javascript"),
    "style.css": (_SHARED, "text/css"),
}
"""What the page loads: folder and type. The head and the look are those of the report's page."""
HEADERS = {
    # Nothing is loaded from elsewhere and nothing is sent elsewhere, whatever a script may try.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; img-src 'self' data:; media-src 'self' blob:; worker-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(self), microphone=(self)",
}


def html(settings: Settings, reactions: int, most: int) -> str:
    """The page.

    Args:
      settings: that it begins with.
      reactions: K that it shows at first.
      most: K that it gets, and may show.
    """
    page = {
        "reactions": reactions,
        "most": most,
        "seed": settings.seed,
        "amplitude": settings.control.amplitude,
        "smile": settings.control.smiles,
        "nod": settings.control.nods,
        "channels": COEFFICIENT_NAMES,
        "neutral": [float(x) for x in NEUTRAL],
    }
    about, head = _head()
    text = (_TEMPLATE / "live.html").read_text(encoding="utf-8")
    for name, content in {"settings": json.dumps(page), "head_about": about, "head": head}.items():
        text = text.replace("{{" + name + "}}", content)
    return text


@cache
def _head() -> tuple[str, str]:
    return pack_head(arkit_head(ARKIT_NAMES))


def file(name: str) -> tuple[str, str] | None:
    """Content and type of one of `FILES`; None for another name."""
    if name not in FILES:
        return None
    folder, kind = FILES[name]
    return (folder / name).read_text(encoding="utf-8"), kind
