"""Public data all the way: a tar of Seamless Interaction's form → shards and labels → two steps → eval → react."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from unit import open_trees

from data_pipeline import prepare
from data_pipeline.loader import open_shards  # TensorFlow has to come before whatever draws
from reactface_jax.commands import training_data
from reactface_jax.commands.main import main
from reactface_jax.media.video import VideoWriter
from reactface_jax.rendering.arkit_head.look import Look
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, HeadRenderer
from reactface_jax.training import sharding

pytestmark = pytest.mark.usefixtures("compiled_programs_are_kept", "one_device")

SECONDS = 1.6
PEOPLE = {
    "train": ("V00_S0001_I00000007_P0001", "V00_S0001_I00000007_P0002A"),
    "train, the same prompt": ("V01_S0002_I00000007_P0003", "V01_S0002_I00000007_P0004"),
    "dev": ("V00_S0003_I00000007_P0005", "V00_S0003_I00000007_P0006"),
}
METHODS = {
    "zhou": "--method zhou --zhou.input-width 16 --zhou.width 8 --zhou.window 16 --zhou.shortest 8 "
    "--zhou.statistics-batches 1",
    "reactface": "--model.causal --model.interaction-layers 1 --eval.protocol stream",
}
STEPS = ["--train.steps", "2", "--train.eval-every", "2", "--train.checkpoint-every", "2"]
STEPS += ["--data.eval-frames", "32", "--data.max-neighbours", "4", "--eval.num-reactions", "2"]


def write_raw(folder: Path) -> Path:
    """Three conversations of drawn heads, the first person of each talking, at 45000/1501 pictures a second."""
    pictures = [head(Look(), 0.8), head(Look(skin=(0.5, 0.35, 0.27)), 0.1)]
    for split, people in PEOPLE.items():
        made = folder / "made" / split
        for person, frames, talk in zip(people, pictures, ([(0.2, SECONDS)], []), strict=True):
            open_trees.participant(made, person, SECONDS, open_trees.ODD, talk, arrays={})
            with VideoWriter(made / f"{person}.mp4", size=(256, 256), frame_rate=open_trees.ODD, crf=14) as film:
                for frame in frames:
                    film.write(frame)
        open_trees.pack(made, folder / "raw" / "improvised" / split.split(",")[0] / "0000" / f"{people[0]}.tar")
    return folder / "raw"


def head(look: Look, jaw: float) -> list[np.ndarray]:
    renderer, frames = HeadRenderer((256, 256), look), []
    for k in range(round(SECONDS * open_trees.ODD)):
        coefficients = NEUTRAL.copy()
        coefficients[ARKIT_NAMES.index("jawOpen")] = jaw * (0.5 + 0.5 * np.sin(k / 3))
        coefficients[53] += 0.1 * np.sin(k / 11)
        frames.append(renderer.render(coefficients))
    renderer.close()
    return frames


@pytest.mark.parametrize("method", ["zhou", pytest.param("reactface", marks=pytest.mark.long)])
def test_from_a_tar_to_an_answer(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ReactFace takes most of its time to compile."""
    monkeypatch.setattr(training_data, "make_mesh", lambda **_: sharding.make_mesh(jax.devices()[:1]))
    raw, shards, run = write_raw(tmp_path), tmp_path / "shards", tmp_path / "run"
    words = ["--piece-seconds", str(SECONDS), "--min-seconds", "1", "--mean-degree", "2", "--workers", "1"]
    prepare.main(["seamless", "--raw", str(raw), "--out", str(shards), *words])
    data = open_shards(shards)
    labels = np.load(shards / "appropriateness_train.npy")
    np.testing.assert_array_equal(labels, np.kron(np.eye(2), np.ones((2, 2))) > 0)  # the other session's, by role

    words = ["--config", "tiny", "--workdir", str(run), "--data.dir", str(shards)]
    main(["train", *words, *METHODS[method].split(), *STEPS])
    capsys.readouterr()
    main(["eval", "--checkpoint", str(run), "--split", "val", "--out", str(tmp_path / "report"), "--page-clips", "0"])
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["source"].endswith("step 2")
    assert report["data"]["clips"] == 2
    assert np.load(tmp_path / "report" / "prediction.npy").shape == (2, 2, 32, 58)

    # The speaker's own video, as it lies in the tar.
    speaker = tmp_path / "made" / "dev" / f"{PEOPLE['dev'][0]}.mp4"
    words = ["--speaker", str(speaker), "--checkpoint", str(run), "--num-reactions", "2", "--renderer", "none"]
    main(["react", *words, "--out", str(tmp_path / "answer")])
    reactions = np.load(tmp_path / "answer" / "reactions.npy")
    assert reactions.shape == (2, 41, 58)  # in 1.601 s of pictures 41 frames begin
    assert np.isfinite(reactions).all()
    names = json.loads((tmp_path / "answer" / "coefficient_names.json").read_text())
    assert names == data.description["coefficient_names"]
