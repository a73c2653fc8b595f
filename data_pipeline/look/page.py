"""The page itself: one HTML file with everything in it."""

import base64
import html
import io
import json
import re
import wave
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int16

from data_pipeline.look.drawn import Points
from reactface_jax.media.face import CROP_SIZE
from reactface_jax.types import SAMPLE_RATE

_NUMBER = re.compile(r"[+-]?[\d.]+( %|%)?(\t|$| \()")
"""Cells of columns that are set flush right."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem; overflow-wrap: anywhere } h2 { font-size: 1.15rem; margin-top: 2rem }
.wide { overflow-x: auto } table { border-collapse: collapse; margin: .5rem 0 }
th, td { padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd; vertical-align: top }
th { text-align: left; font-weight: 600 } td.number { text-align: right; white-space: nowrap }
th.number { text-align: right } td:last-child:not(.number) { min-width: 11rem }
figure { margin: 1rem 0 2rem } .people { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem }
.person { display: flex; gap: .5rem; flex: 0 1 26rem } .shown { position: relative; flex: 1 1 0; max-width: 200px }
.shown img { width: 100%; aspect-ratio: 1; background: #eee; display: block }
.shown svg { position: absolute; inset: 0 } .shown path { stroke: #3f8; stroke-width: 2.5; stroke-linecap: round }
.bare svg { display: none } audio { display: block; margin: .5rem 0; width: min(100%, 26rem) }
figcaption { color: #555; overflow-wrap: anywhere }
.bar { display: inline-block; width: 6rem; text-align: left } .bar span { display: inline-block; height: .7em }
.bar span { background: #68a }
"""
_SCRIPT = """
document.getElementById("landmarks")?.addEventListener("change", (event) =>
  document.body.classList.toggle("bare", !event.target.checked));
for (const piece of pieces) {
  const figure = document.getElementById(piece.id);
  const sound = figure.querySelector("audio");
  const show = () => {
    const frame = Math.min(Math.floor(sound.currentTime * piece.rate), piece.frames - 1);
    for (const img of figure.querySelectorAll("img"))
      img.src = "data:image/jpeg;base64," + piece[img.dataset.of][frame];
    for (const path of figure.querySelectorAll("path"))
      path.setAttribute("d", piece[path.dataset.of][frame].map(([x, y]) => `M${x} ${y}h0`).join(""));
    if (!sound.paused) requestAnimationFrame(show);
  };
  sound.addEventListener("play", show);
  sound.addEventListener("seeked", show);
  show();
}
"""


@dataclass(frozen=True)
class ShownPerson:
    """One of the two of a piece; each sequence has an entry a frame, or none."""

    id: str
    face: Sequence[bytes]
    """JPEGs."""
    landmarks: Sequence[Points] = ()
    head: Sequence[bytes] = ()
    """JPEGs."""


@dataclass(frozen=True)
class ShownPiece:
    """The beginning of a clip."""

    speaker: ShownPerson
    listener: ShownPerson
    rate: float
    """Pictures a second."""
    sound: Int16[np.ndarray, " L"]


@dataclass(frozen=True)
class Table:
    """A heading and rows of text; a number from 0 to 1 behind a tab is drawn as a bar."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def page(title: str, tables: Sequence[Table], pieces: Sequence[ShownPiece]) -> str:
    """The HTML text."""
    parts = [
        '<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style><h1>{html.escape(title)}</h1>",
        *(_table(table) for table in tables),
    ]
    if pieces:
        parts.append(
            "<h2>Pieces</h2><p>Speaker and listener with the head that their coefficients make, and the speaker's "
            "sound. Play it: do lips and sound agree? Does the head do what the face does?</p>"
        )
    if any(piece.speaker.landmarks for piece in pieces):
        parts.append('<label><input type="checkbox" id="landmarks" checked> landmarks</label>')
    parts += [_figure(f"piece{number}", piece) for number, piece in enumerate(pieces)]
    shown = [_content(f"piece{number}", piece) for number, piece in enumerate(pieces)]
    parts.append(f"<script>const pieces = {json.dumps(shown)};{_SCRIPT}</script></html>")
    return "\n".join(parts)


def _content(name: str, piece: ShownPiece) -> dict[str, object]:
    """What the script shows of a piece."""
    content: dict[str, object] = {"id": name, "rate": piece.rate, "frames": len(piece.speaker.face)}
    for role, person in (("speaker", piece.speaker), ("listener", piece.listener)):
        content[role] = [base64.b64encode(jpeg).decode() for jpeg in person.face]
        content[f"{role} head"] = [base64.b64encode(jpeg).decode() for jpeg in person.head]
        content[f"{role} landmarks"] = person.landmarks
    return content


def _figure(name: str, piece: ShownPiece) -> str:
    people = []
    for role, person in (("speaker", piece.speaker), ("listener", piece.listener)):
        points = f'<svg viewBox="0 0 {CROP_SIZE} {CROP_SIZE}"><path data-of="{role} landmarks"/></svg>'
        face = f'<div class=shown><img alt="{role}" data-of="{role}">{points if person.landmarks else ""}</div>'
        head = f'<div class=shown><img alt="{role}\'s head" data-of="{role} head"></div>' if person.head else ""
        people.append(f"<div class=person>{face}{head}</div>")
    wav = base64.b64encode(_wav(piece.sound)).decode()
    ids = f"speaker {html.escape(piece.speaker.id)}, listener {html.escape(piece.listener.id)}"
    return (
        f'<figure id="{name}"><div class=people>{"".join(people)}</div>'
        f'<audio controls src="data:audio/wav;base64,{wav}"></audio><figcaption>{ids}</figcaption></figure>'
    )


def _table(table: Table) -> str:
    numbers = [bool(table.rows) and all(_NUMBER.match(row[i]) for row in table.rows) for i in range(len(table.head))]
    kinds = [" class=number" if number else "" for number in numbers]
    head = "".join(f"<th{kind}>{html.escape(cell)}</th>" for kind, cell in zip(kinds, table.head, strict=True))
    rows = "".join(
        f"<tr>{''.join(_cell(cell, kind) for cell, kind in zip(row, kinds, strict=True))}</tr>" for row in table.rows
    )
    return f"<h2>{html.escape(table.title)}</h2><div class=wide><table><tr>{head}</tr>{rows}</table></div>"


def _cell(text: str, kind: str) -> str:
    words, tab, share = text.partition("\t")
    width = f"{6 * min(max(float(share), 0), 1):.2f}rem" if tab else ""
    bar = f' <span class=bar><span style="width:{width}"></span></span>' if tab else ""
    return f"<td{kind}>{html.escape(words)}{bar}</td>"


def _wav(sound: Int16[np.ndarray, " L"]) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(sound.astype("<i2").tobytes())
    return buffer.getvalue()
