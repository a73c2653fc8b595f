"""An ablation from shards to its table, at the tiniest size."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

import raw_tree

import eval as evaluation_command
from data_pipeline.shards import write_shards
from reactface_jax import ablations
from reactface_jax.ablations import COLUMNS, FULL, Ablation, Variant
from reactface_jax.config import load_config

ROOT = Path(__file__).parents[2]
SMALL = ["--train.steps", "1", "--train.num-reactions", "2", "--eval.num-reactions", "2", "--eval.protocol", "clip"]


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    for split in ("train", "val", "test"):
        raw_tree.write_split(root, split, [40, 41])
        raw_tree.write_labels(root / f"neighbour_emotion_{split}.npy", np.eye(4))
    write_shards(root, root / "shards")
    return root / "shards"


def test_a_set_is_trained_evaluated_and_told(shards, tmp_path, capsys):
    started: list[str] = []

    def run(words: list[str]) -> None:
        """Training as it is started, on one device; evaluation in this process."""
        started.append(words[0])
        if words[0] == "train.py":
            subprocess.run([sys.executable, ROOT / "train.py", *words[1:]], check=True)
        else:
            evaluation_command.main(list(words[1:]))

    words = ["--set", str(ROOT / "configs/ablations/table6.py"), "--config", str(ROOT / "configs/tiny.py")]
    words += ["--data", str(shards), "--out", str(tmp_path / "out"), *SMALL]
    ablations.main(words, run)
    assert started == ["train.py", "eval.py", "train.py", "eval.py", "eval.py"]
    text = (tmp_path / "out" / "table6" / "ablation.md").read_text()
    assert text in capsys.readouterr().out
    assert "| no momentum | 0.0035 | 0.1002 | 614.36 | 0.146 | 45.56 |" in text
    content = json.loads((tmp_path / "out" / "table6" / "report.json").read_text())
    rows = {row["method"]: row for row in content["rows"]}
    assert {FULL, "no momentum"} < rows.keys()
    assert f"| no momentum | {rows['no momentum']['scores']['clean']['FRVar']:.4f}" in text
    assert (tmp_path / "out" / "table6" / "report.html").is_file()

    # Again: only the comparison is made. Another command in the same folder is refused.
    ablations.main(words, run)
    assert started[5:] == ["eval.py"]
    with pytest.raises(SystemExit):
        ablations.main([*words, "--train.seed", "1"], run)
    assert "holds a run of another command" in capsys.readouterr().err


def test_signs_are_compared_with_the_papers():
    ablation = Ablation("T", (Variant("less", (), (0.02, 0.01, 500.0, 0.1, 50.0)),))

    def row(name: str, figures: tuple[float, ...], same: list[str]) -> dict:
        scores = dict(zip(COLUMNS, figures, strict=True))
        return {"method": name, "scores": {"clean": scores}, "realism": None, "not_different": {"clean": same}}

    rows = [row(FULL, (0.01, 0.02, 0, 1.0, 40), []), row("less", (0.02, 0.03, 0, 0.5, 41), ["FRSyn"])]
    text = ablations.form(ablation, {"rows": rows, "data": {"clips": 3, "frames": 4}}, "configs/x.py", ["--a", "1"])
    assert "- less: as in the paper: FRVar, FRCorr; the other way: FRDiv; not significantly: FRSyn" in text
    assert "| less | 0.0200 | 0.0300 | - | 0.500 | 41.00≈ |" in text
    assert "3 clips of 4 frames; configs/x.py --a 1." in text


@pytest.mark.parametrize("name", ["table3", "table4", "table5", "table6", "table7"])
def test_every_variant_is_a_configuration_of_its_own(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    ablation = ablations.load_ablation(name)
    made = [load_config("configs/demo.py", variant.overrides) for variant in (Variant(FULL, ()), *ablation.variants)]
    assert len({repr(config) for config in made}) == len(made)


def test_an_unknown_set(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit):
        ablations.main(["--set", "table9", "--config", "configs/demo.py", "--data", "x", "--out", "y"])
    assert "there are table3, table4, table5, table6, table7" in capsys.readouterr().err
