"""RLD's data, in ViCo's form, has no labels of appropriate reactions: clips are held against their own listeners."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from unit import open_trees

from data_pipeline import prepare
from data_pipeline.open_data import faces
from reactface_jax.commands.main import main

pytestmark = pytest.mark.usefixtures("compiled_programs_are_kept", "one_device")

SECONDS = 4
ROWS = ("a1,l1,s1,1,2,train", "a2,l2,s2,3,2,train", "a3,l3,s3,1,2,valid", "a4,l4,s4,3,2,valid")


def write_raw(folder: Path) -> Path:
    (folder / "videos").mkdir(parents=True)
    for number in range(1, len(ROWS) + 1):
        for name in (f"l{number}", f"s{number}"):
            open_trees.grey(folder / "videos" / f"{name}.mp4", SECONDS, Fraction(30))
        open_trees.voice(folder / f"a{number}.wav", SECONDS, [(0, 0.4 * number)], rate=16000)
    header = "attitude,audio,listener,speaker,listener_id,speaker_id,data_split\n"
    (folder / "RLD_data.csv").write_text(header + "".join(f"positive,{row}\n" for row in ROWS))
    return folder


def test_the_own_listener_is_the_only_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "measure_face", open_trees.plant)
    shards, out = tmp_path / "shards", tmp_path / "report"
    words = ["--piece-seconds", str(SECONDS), "--min-seconds", "1", "--workers", "1"]
    prepare.main(["vico", "--raw", str(write_raw(tmp_path / "raw")), "--out", str(shards), *words])
    methods = ["mirror", "delayed-mirror", "mean-fr", "nn-motion"]
    words = ["--data", str(shards), "--split", "val", "--out", str(out), "--page-clips", "0"]
    main(["eval", "--methods", *methods, *words])
    report = json.loads((out / "report.json").read_text())
    rows = {row["method"]: row["scores"]["clean"] for row in report["rows"]}
    assert rows["GT"]["FRCorr"] == pytest.approx(10)  # of the own listener with himself: only one neighbour
    assert rows["GT"]["FRDist"] == pytest.approx(0, abs=1e-5)
    assert all(np.isfinite(scores["FRDist"]) for scores in rows.values())
    assert report["data"]["appropriate"].startswith("each clip's own listener only")
    assert "own listener only" in (out / "report.md").read_text()
