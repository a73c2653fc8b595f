"""Which videos of pairs.csv are one."""

from pathlib import Path

import numpy as np

from data_pipeline.own_recordings.pairs import read_pairs
from reactface_jax.media.video import VideoWriter


def test_a_video_under_two_names_is_one(tmp_path: Path) -> None:
    """Taken for two, the largest face would be both people."""
    for name in ("a.mp4", "b.mp4"):
        with VideoWriter(tmp_path / name, size=(32, 32), audio=np.zeros(16_000, np.float32)) as writer:
            writer.write(np.zeros((32, 32, 3), np.uint8))
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    (tmp_path / "sub").mkdir()
    others = {"": True, "a.mp4": True, "sub/../a.mp4": True, "link.mp4": True, "b.mp4": False}
    lines = [f"pair{number},a.mp4,{other}" for number, other in enumerate(others)]
    (tmp_path / "pairs.csv").write_text("\n".join(["name,speaker,listener", *lines]))
    pairs, failed = read_pairs(tmp_path / "pairs.csv")
    assert [pair.one_video for pair in pairs] == list(others.values())
    assert not failed
