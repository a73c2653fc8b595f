"""Draws docs/images/floors.svg from the table of docs/architecture.md: `python docs/draw_floors.py`."""

import re
from html import escape
from pathlib import Path

PAGE = Path(__file__).parent / "architecture.md"
PICTURE = Path(__file__).parent / "images" / "floors.svg"

_WIDTH, _FLOOR, _GAP, _LEFT = 1080, 64, 10, 34
_HUES = (210, 190, 165, 140, 95, 60, 42, 28, 14, 340, 275)


def read_floors(page: str) -> dict[str, tuple[int, str]]:
    """Each room of the page's table with its floor and what it holds."""
    rows = re.findall(r"^\| (\d+) \| `([\w./]+)` \| (.+) \|$", page, re.MULTILINE)
    return {room: (int(floor), holds.replace("`", "")) for floor, room, holds in rows}


def draw(floors: dict[str, tuple[int, str]]) -> str:
    """The picture: a row of boxes for each floor, the ground at the bottom."""
    highest = max(floor for floor, _ in floors.values())
    height = highest * (_FLOOR + _GAP) + 50
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="24" fill="#333">Each room imports only from the floors below it.</text>',
    ]
    for floor in range(1, highest + 1):
        rooms = {room: holds for room, (number, holds) in floors.items() if number == floor}
        top = 40 + (highest - floor) * (_FLOOR + _GAP)
        lines.append(f'<text x="10" y="{top + _FLOOR // 2 + 4}" fill="#888">{floor}</text>')
        width = (_WIDTH - _LEFT - 10 - _GAP * (len(rooms) - 1)) / len(rooms)
        for index, (room, holds) in enumerate(rooms.items()):
            left = _LEFT + index * (width + _GAP)
            hue = _HUES[(floor - 1) % len(_HUES)]
            lines.append(
                f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_FLOOR}" rx="6" '
                f'fill="hsl({hue} 55% 93%)" stroke="hsl({hue} 35% 55%)"/>'
            )
            name = room.removeprefix("reactface_jax/")
            lines.append(f'<text x="{left + 8:.1f}" y="{top + 19}" font-weight="600">{escape(name)}</text>')
            for number, line in enumerate(_wrapped(holds, int(width / 6.2))[:2]):
                lines.append(
                    f'<text x="{left + 8:.1f}" y="{top + 37 + 15 * number}" font-size="11.5" fill="#444">'
                    f"{escape(line)}</text>"
                )
    return "\n".join([*lines, "</svg>", ""])


def _wrapped(text: str, most: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > most:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


if __name__ == "__main__":
    PICTURE.write_text(draw(read_floors(PAGE.read_text())))
