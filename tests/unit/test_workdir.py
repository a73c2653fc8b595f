"""A run's directory: what is not ours stays, an old run goes only once the new one lives, and nothing is half moved."""

from pathlib import Path

import numpy as np
import pytest

from reactface_jax.errors import UserError
from reactface_jax.files import aside_name
from reactface_jax.weights.params_file import save_params
from reactface_jax.weights.run import load_run
from reactface_jax.weights.workdir import OVERWRITTEN, check_workdir, old_run_aside, put_back


def make_run(workdir: Path, name: str) -> None:
    for path in ("checkpoints/4/about/metadata", "checkpoints/4/params/_METADATA", "tensorboard/events.out"):
        (workdir / path).parent.mkdir(parents=True, exist_ok=True)
        (workdir / path).write_text(name)


def content(workdir: Path) -> dict[str, str]:
    return {str(path.relative_to(workdir)): path.read_text() for path in workdir.rglob("*") if path.is_file()}


OLD = {
    "checkpoints/4/about/metadata": "old",
    "checkpoints/4/params/_METADATA": "old",
    "tensorboard/events.out": "old",
    "thesis.tex": "mine",
}
NEW = {name: text.replace("old", "new") for name, text in OLD.items()}


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    make_run(tmp_path, "old")
    (tmp_path / "thesis.tex").write_text("mine")
    return tmp_path


def test_the_old_run_goes_after_a_step_of_the_new_one(workdir: Path) -> None:
    with old_run_aside(workdir) as remove:
        make_run(workdir, "new")
        assert {name: text for name, text in content(workdir).items() if OVERWRITTEN in name} == {
            f"{OVERWRITTEN}/{name}": text for name, text in OLD.items() if name != "thesis.tex"
        }
        remove()
        assert content(workdir) == NEW
    assert content(workdir) == NEW


def overwrite_and_fail(workdir: Path) -> None:
    with old_run_aside(workdir):
        make_run(workdir, "new")
        raise KeyboardInterrupt


def test_it_comes_back_where_the_new_one_fails_before_its_first_step(workdir: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        overwrite_and_fail(workdir)
    assert content(workdir) == OLD


@pytest.mark.parametrize("moved", [1, 2])
def test_it_comes_back_after_a_kill(workdir: Path, moved: int) -> None:
    (workdir / OVERWRITTEN).mkdir()
    for name in ("tensorboard", "checkpoints")[:moved]:
        (workdir / name).rename(workdir / OVERWRITTEN / name)
    if moved == 2:
        make_run(workdir, "new")
    put_back(workdir)
    assert content(workdir) == OLD


def test_a_kill_while_the_old_run_is_removed(workdir: Path) -> None:
    make_run(workdir, "new")
    doomed = aside_name(workdir / OVERWRITTEN)
    make_run(workdir / doomed.name.replace(doomed.name.split("-")[-2], "4194305"), "old")  # of a process that is gone
    put_back(workdir)
    assert content(workdir) == NEW


@pytest.mark.parametrize(
    "foreign", ["checkpoints/model.pt", "checkpoints/5/model.pt", "checkpoints/best/about/metadata"]
)
@pytest.mark.parametrize("flags", [{"overwrite": True}, {"resume": True}, {}])
def test_other_peoples_checkpoints_are_not_ours(workdir: Path, foreign: str, flags: dict[str, bool]) -> None:
    (workdir / foreign).parent.mkdir(parents=True, exist_ok=True)
    (workdir / foreign).write_text("theirs")
    odd = "/".join(foreign.split("/")[:2])
    with pytest.raises(UserError, match=f"holds {workdir / odd}, which is of no training here; give another directory"):
        check_workdir(workdir, **{"resume": False, "overwrite": False, **flags})


def test_a_file_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("theirs")
    with pytest.raises(UserError, match="which is of no training here"):
        check_workdir(tmp_path, resume=False, overwrite=True)


def test_what_a_killed_save_leaves_is_ours(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "7.orbax-checkpoint-tmp" / "about.orbax-checkpoint-tmp").mkdir(parents=True)
    (tmp_path / "checkpoints" / "8").mkdir()
    (tmp_path / "checkpoints" / "9.orbax-checkpoint-tmp").mkdir()
    (tmp_path / "checkpoints" / "9.orbax-checkpoint-tmp" / "_CHECKPOINT_METADATA").write_text("{}")
    check_workdir(tmp_path, resume=True, overwrite=False)
    check_workdir(tmp_path, resume=False, overwrite=True)


@pytest.mark.parametrize("flags", [{"overwrite": True}, {"resume": True}, {}])
def test_a_run_that_ended_before_it_saved_is_started_anew(tmp_path: Path, flags: dict[str, bool]) -> None:
    (tmp_path / "checkpoints").mkdir()
    check_workdir(tmp_path, **{"resume": False, "overwrite": False, **flags})


def test_a_folder_that_is_no_run_is_said_to_be_what_it_is(tmp_path: Path) -> None:
    make_run(tmp_path / "demo" / "run", "new")
    (tmp_path / "demo" / "shards").mkdir()
    with pytest.raises(UserError, match=r"demo holds no checkpoints; did you mean .*demo/run\?"):
        load_run(tmp_path / "demo")
    make_run(tmp_path / "demo" / "again", "new")
    with pytest.raises(UserError, match="demo holds no checkpoints; give the --workdir of a training run"):
        load_run(tmp_path / "demo")
    save_params(tmp_path / "converted", {"kernel": np.zeros(1)}, {"model": {}})
    with pytest.raises(UserError, match=r"was converted, so it is no training run, .* `reactface eval --converted`"):
        load_run(tmp_path / "converted")
