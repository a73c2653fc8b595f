"""The page itself: one HTML file with everything in it."""

import base64
import html
import io
import json
import wave
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int16

from reactface_jax.types import SAMPLE_RATE

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; margin: .5rem 0 } th, td { padding: .2rem .8rem; border-bottom: 1px solid #ddd }
th { text-align: left; font-weight: 600 } td { text-align: right } td:first-child { text-align: left }
figure { margin: 1rem 0 } img { width: 200px; height: 200px; background: #eee; margin-right: .5rem }
figcaption { color: #555; overflow-wrap: anywhere } .bar { display: inline-block; height: .7em; background: #68a }
"""
_SCRIPT = """
for (const piece of pieces) {
  const figure = document.getElementById(piece.id);
  const [one, other] = figure.querySelectorAll("img");
  const sound = figure.querySelector("audio");
  const show = () => {
    const frame = Math.min(Math.floor(sound.currentTime * piece.rate), piece.speaker.length - 1);
    one.src = "data:image/jpeg;base64," + piece.speaker[frame];
    other.src = "data:image/jpeg;base64," + piece.listener[frame];
    if (!sound.paused) requestAnimationFrame(show);
  };
  sound.addEventListener("play", show);
  sound.addEventListener("seeked", show);
  show();
}
"""


@dataclass(frozen=True)
class ShownPiece:
    """The beginning of a clip."""

    speaker_id: str
    listener_id: str
    rate: float
    """Pictures a second."""
    speaker: Sequence[bytes]
    """JPEGs."""
    listener: Sequence[bytes]
    sound: Int16[np.ndarray, " L"]


@dataclass(frozen=True)
class Table:
    """A heading and rows of text; a number from 0 to 1 behind a tab is drawn as a bar."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def page(title: str, tables: Sequence[Table], pieces: Sequence[ShownPiece]) -> str:
    """The HTML text."""
    shown = [
        {
            "id": f"piece{number}",
            "rate": piece.rate,
            "speaker": [base64.b64encode(jpeg).decode() for jpeg in piece.speaker],
            "listener": [base64.b64encode(jpeg).decode() for jpeg in piece.listener],
        }
        for number, piece in enumerate(pieces)
    ]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style><h1>{html.escape(title)}</h1>",
        *(_table(table) for table in tables),
    ]
    if pieces:
        parts.append(
            "<h2>Pieces</h2><p>Speaker, listener, and the speaker's sound; play it: do lips and sound agree?</p>"
        )
    for number, piece in enumerate(pieces):
        wav = base64.b64encode(_wav(piece.sound)).decode()
        ids = f"{html.escape(piece.speaker_id)} with {html.escape(piece.listener_id)}"
        parts.append(
            f'<figure id="piece{number}"><img alt="speaker"><img alt="listener"><br>'
            f'<audio controls src="data:audio/wav;base64,{wav}"></audio><figcaption>{ids}</figcaption></figure>'
        )
    parts.append(f"<script>const pieces = {json.dumps(shown)};{_SCRIPT}</script></html>")
    return "\n".join(parts)


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
    rows = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in table.rows)
    return f"<h2>{html.escape(table.title)}</h2><table><tr>{head}</tr>{rows}</table>"


def _cell(text: str) -> str:
    words, tab, share = text.partition("\t")
    bar = f' <span class="bar" style="width:{6 * min(max(float(share), 0), 1):.2f}rem"></span>' if tab else ""
    return f"<td>{html.escape(words)}{bar}</td>"


def _wav(sound: Int16[np.ndarray, " L"]) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(sound.astype("<i2").tobytes())
    return buffer.getvalue()
