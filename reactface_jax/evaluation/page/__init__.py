"""The report as one HTML page that needs no network: tables, players, curves, histograms, attention maps."""

from reactface_jax.evaluation.page.build import build_page
from reactface_jax.evaluation.page.contents import Contents, Shown, choose_clips
from reactface_jax.evaluation.page.head import PageHead, arkit_head, faceverse_head, head_for
from reactface_jax.evaluation.page.html import PAGE_NAME, to_html, write_page

__all__ = [
    "PAGE_NAME",
    "Contents",
    "PageHead",
    "Shown",
    "arkit_head",
    "build_page",
    "choose_clips",
    "faceverse_head",
    "head_for",
    "to_html",
    "write_page",
]
