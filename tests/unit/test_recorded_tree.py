"""A tree of own recordings: nothing of the user's is replaced, imports exclude each other, new files are noticed."""

import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
from unit import open_trees

from data_pipeline.own_recordings import command as recordings
from data_pipeline.own_recordings.clip_files import Places
from data_pipeline.own_recordings.command import extract, import_pairs
from reactface_jax.errors import UserError

BY_ROLE = {"speaker": 1.0, "listener": 1.0}
FACTS = {
    "seconds": BY_ROLE,
    "sound_seconds": BY_ROLE,
    "cut_seconds": 1.0,
    "frames_without_face": {"speaker": 0, "listener": 0},
    "jaw_open_std": BY_ROLE,
    "jaw_open_follows_speaker_sound": BY_ROLE,
}


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every video is a conversation of one clip, whose files hold a letter."""
    conversation = SimpleNamespace(people=dict.fromkeys(BY_ROLE), clips=[(0, 25)], facts=FACTS)
    monkeypatch.setattr(recordings, "read_conversation", lambda *_: conversation)
    monkeypatch.setattr(recordings, "write_clips", write)


def write(people: dict, clips: object, place: Callable[[str, int], Places], *_: object) -> None:
    for role in people:
        for file in vars(place(role, 1)).values():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("x")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A video, a sound, and a csv of them; it is the folder that the command runs in."""
    monkeypatch.chdir(tmp_path)
    open_trees.grey(tmp_path / "v.mp4", 1, Fraction(25))
    open_trees.voice(tmp_path / "s.wav", 1, [(0, 1)], rate=16000)
    (tmp_path / "pairs.csv").write_text("speaker,listener,speaker_audio\nv.mp4,,s.wav\n")
    return tmp_path


def run(out: Path, pairs: Path = Path("pairs.csv"), **more: bool) -> None:
    import_pairs(pairs, out, previews=False, **more)


def files_of(tree: Path) -> dict[str, bytes]:
    return {str(path.relative_to(tree)): path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        (
            {"recordings/monday.mov": "x", "train.csv": "mine", ".partial-notes/a.txt": "mine"},
            "is not empty and no tree that import",
        ),
        ({"recordings/monday.json": '{"take": 1}'}, r"recordings/monday\.json is no record of a recording; give anoth"),
        (
            {"recordings/monday.mov": "x", "coefficient_names.json": '["mine"]'},
            "holds a coefficient_names.json that import did not write and would replace",
        ),
    ],
)
def test_a_folder_of_the_users_is_not_touched(folder: Path, mine: dict[str, str], message: str) -> None:
    """Though it has a `recordings`, as a natural name of raw videos."""
    for name, content in mine.items():
        (folder / "study" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "study" / name).write_text(content)
    before = files_of(folder / "study")
    with pytest.raises(UserError, match=message):
        run(folder / "study")
    assert files_of(folder / "study") == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.csv", ",speaker_path,listener_path\n0,Own/v/speaker/1,Own/v/listener/1\n1,NoXI/a,NoXI/b\n"),
        ("val.csv", "name,mark\nanna,1\n"),
        ("coefficient_names.json", '["mine"]'),
        (".partial-notes/a.txt", "mine"),
    ],
)
def test_what_is_not_a_trees_own_is_not_replaced_in_it(folder: Path, name: str, content: str) -> None:
    run(folder / "tree")
    (folder / "tree" / name).parent.mkdir(exist_ok=True)
    (folder / "tree" / name).write_text(content)
    before = files_of(folder / "tree")
    with pytest.raises(UserError, match=f"holds a {name.partition('/')[0]} that import did not write and would repl"):
        run(folder / "tree", overwrite=True)
    assert files_of(folder / "tree") == before


def test_a_run_that_was_killed_at_once_goes_on(folder: Path) -> None:
    """Before the first record there are the folder of records, and perhaps the names and the lock."""
    run(folder / "tree")
    expected = files_of(folder / "tree")
    for left in ((), ("coefficient_names.json",)):
        (folder / "early" / "recordings").mkdir(parents=True)
        for name in (".lock", *left):
            (folder / "early" / name).write_bytes(expected.get(name, b""))
        run(folder / "early")
        assert files_of(folder / "early") == expected
        (folder / "early").rename(folder / f"early{len(left)}")


def test_trees_of_older_versions_go_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their records have no times, and of a sound its path as it was written; raw videos may lie among them."""
    run(folder / "tree")
    path = folder / "tree" / "recordings" / "v.json"
    record = json.loads(path.read_text())
    for role in BY_ROLE:
        record["recipe"][role] = {key: record["recipe"][role][key] for key in ("video", "bytes", "face")} | {
            "audio": "s.wav" if role == "speaker" else ""
        }
    path.write_text(json.dumps(record))
    (folder / "tree" / "recordings" / "v.mov").write_text("x")
    before = files_of(folder / "tree")
    run(folder / "tree")
    assert "1 of 1 recordings are there already" in capsys.readouterr().out
    assert files_of(folder / "tree") == before


def test_files_that_were_replaced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By size and by time, of sound and video; a csv by another path is the same, though."""
    run(folder / "tree")
    run(folder / "tree", folder / "pairs.csv")
    assert "1 of 1 recordings are there already" in capsys.readouterr().out
    open_trees.voice(folder / "s.wav", 2, [(0, 1)], rate=16000)
    with pytest.raises(UserError, match=r"its speaker's sound size is 32044, not 64044; give --overwrite to make"):
        run(folder / "tree")
    run(folder / "tree", overwrite=True)
    run(folder / "tree")
    os.utime(folder / "v.mp4", (1e9, 1e9))
    with pytest.raises(UserError, match=r"its speaker's video time is 20\d\d\S+, not 2001-09-09T01:46:40\+00:00; give"):
        run(folder / "tree")
    run(folder / "tree", overwrite=True)
    (folder / "t.wav").write_bytes((folder / "s.wav").read_bytes())
    (folder / "pairs.csv").write_text("speaker,listener,speaker_audio\nv.mp4,,t.wav\n")
    with pytest.raises(UserError, match=r"its speaker's sound is \S+/s\.wav, not \S+/t\.wav; give --overwrite"):
        run(folder / "tree")


def test_two_imports_into_one_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second ends with a sentence, and the first finds what it was writing."""

    def second(people: dict, clips: object, place: Callable[[str, int], Places], *more: object) -> None:
        write(people, clips, place, *more)
        with pytest.raises(
            UserError, match=r"process \d+ on \S+ is writing into \S+tree; wait for it, end it, or give"
        ):
            run(folder / "tree")

    monkeypatch.setattr(recordings, "write_clips", second)
    run(folder / "tree")
    assert (folder / "tree" / "Video_files" / "Own" / "v" / "speaker" / "1").is_file()
    assert not (folder / "tree" / ".lock").exists()


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e308])
def test_clips_without_an_end(folder: Path, seconds: float) -> None:
    with pytest.raises(UserError, match=r"--clip-seconds \S+ is no length of a clip; give seconds, such as 30"):
        import_pairs(folder / "pairs.csv", folder / "tree", clip_seconds=seconds)
    with pytest.raises(UserError, match=r"--clip-seconds \S+ is no length of a clip; give seconds, such as 30"):
        extract(folder / "v.mp4", folder / "clips", clip_seconds=seconds)


def test_extract_into_the_folder_that_it_runs_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "empty").mkdir()
    monkeypatch.chdir(folder / "empty")
    with pytest.raises(UserError, match=r"^\. can't be replaced as a whole; give a folder inside it$"):
        extract(folder / "v.mp4", Path(), previews=False)
