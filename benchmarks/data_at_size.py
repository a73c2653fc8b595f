"""What 10, 100 and 4,000 hours of conversation take: cores' hours and gigabytes, computed from measured rates.

    python benchmarks/open_data.py CLIP.mp4 --out figures.json
    python benchmarks/data_at_size.py figures.json

An hour of conversation is an hour of two people, so 2 x 90,000 frames.
"""

import json
from pathlib import Path

import tyro

from reactface_jax.types import FRAME_RATE, NUM_COEFFICIENTS, SAMPLES_PER_FRAME

_PIECE = 30
"""Seconds of a piece."""


def main(
    figures: tyro.conf.Positional[Path], hours: tuple[int, ...] = (10, 100, 4000), cores: tuple[int, ...] = (16, 1000)
) -> None:
    """Prints a table.

    Args:
      figures: what benchmarks/open_data.py wrote.
      hours: of conversation.
      cores: how many work side by side.
    """
    measured = json.loads(figures.read_text())
    frames_an_hour = 2 * 3600 * FRAME_RATE
    fast, slow = (frames_an_hour / measured[f"{way} way"] / 3600 for way in ("fast", "slow"))
    heard = 2 / measured["listing a sound of 48 kHz"]
    # A frame of the examples: its JPEG, its sound, both people's coefficients; and its row of table and confidence.
    bytes_a_frame = measured["bytes of a frame"] + 2 * SAMPLES_PER_FRAME + (2 + 1) * 4 * NUM_COEFFICIENTS + 4
    head = ["hours", "clips", "core hours", "the slow way's", "listing, hours of a core"]
    head += [*(f"days on {number:,} cores" for number in cores), "set (GB)", "its table (GB)", "its matrix (GB)"]
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for count in hours:
        clips = 2 * count * 3600 // _PIECE
        days = [f"{(count * fast / number + count * heard) / 24:.3g}" for number in cores]
        row = [
            f"{count:,}",
            f"{clips:,}",
            f"{count * fast:,.0f}",
            f"{count * slow:,.0f}",
            f"{count * heard:.2g}",
            *days,
        ]
        row += [f"{count * frames_an_hour * bytes_a_frame / 1e9:,.0f}"]
        row += [f"{clips * _PIECE * FRAME_RATE * NUM_COEFFICIENTS * 4 / 1e9:.2g}", f"{clips**2 / 1e9:.2g}"]
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
