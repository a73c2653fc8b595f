"""Own recordings become a tree of REACT2023's form: whole, resumable, and with a sentence for every mistake."""

import csv
import json
import wave
from pathlib import Path

import numpy as np
import pytest
from drawn_people import JAW, LONG, SHORT, make_films

from data_pipeline import prepare
from data_pipeline.conversation_video import Conversation, read_conversation
from data_pipeline.own_recordings import command as recordings
from data_pipeline.own_recordings import recorded_tree
from data_pipeline.own_recordings.clip_files import COEFFICIENT_NAMES, landmarks
from data_pipeline.own_recordings.command import extract, import_pairs
from data_pipeline.own_recordings.pairs import read_pairs
from data_pipeline.raw_tree.clip_arrays import read_coefficient_names, read_coefficients
from data_pipeline.raw_tree.react2023 import list_splits
from reactface_jax.errors import UserError
from reactface_jax.media.audio import read_audio
from reactface_jax.media.video import read_video


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    make_films(folder)
    return folder


def pairs_csv(folder: Path, *lines: str, header: str = "speaker,listener") -> Path:
    path = folder / "pairs.csv"
    path.write_text("\n".join([header, *lines, ""]))
    return path


@pytest.fixture(scope="module")
def conversation(films: Path) -> Conversation:
    return read_conversation(read_pairs(pairs_csv(films, "both.mp4,"))[0][0], clip_seconds=30, min_seconds=1)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, conversation: Conversation) -> None:
    """Faces have been measured."""
    monkeypatch.setattr(recordings, "read_conversation", lambda *args: conversation)


def files_of(tree: Path) -> dict[str, bytes]:
    return {str(path.relative_to(tree)): path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()}


def test_who_speaks_and_where_it_is_cut(conversation: Conversation) -> None:
    """The right one speaks; five lost frames are interpolated, twenty end the clip, the rest is too short."""
    facts = conversation.facts
    assert conversation.people["speaker"].measured.squares[:, 0].mean() > 256
    assert facts["jaw_open_std"]["speaker"] > 3 * facts["jaw_open_std"]["listener"]
    assert facts["jaw_open_follows_speaker_sound"]["speaker"] > 0.8
    ((start, stop),) = conversation.clips
    assert start == 0
    assert abs(stop - LONG[0]) <= 2
    listener = conversation.people["listener"].measured
    assert not listener.measured[list(SHORT[1:-1])].any()
    assert np.isfinite(listener.coefficients[:stop]).all()
    steps = np.diff(listener.coefficients[SHORT[0] : SHORT[-1] + 1, 53])
    np.testing.assert_allclose(steps, steps[0], atol=0.02)
    assert landmarks(listener, SHORT[2]) is None
    assert landmarks(listener, 3) is not None


@pytest.mark.usefixtures("quick")
def test_tree_is_react2023s(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = tmp_path / "tree"
    import_pairs(pairs_csv(films, "both.mp4,"), tree, min_seconds=1)
    prepare.check(str(tree), rows=str(tmp_path / "left_out.csv"))
    (split,) = list_splits(tree)
    ((speaker, listener),) = split.pairs
    assert (speaker.id, listener.id) == ("Own/both/speaker/1", "Own/both/listener/1")
    assert read_coefficient_names(tree) == list(COEFFICIENT_NAMES)
    record = json.loads((tree / "recordings" / "both.json").read_text())
    length = record["clips"][0]["frames"]
    for person in (speaker, listener):
        assert np.load(person.coefficients).shape == (length, 1, 58)
        assert read_video(person.video).shape == (length, 256, 256, 3)
        with wave.open(str(person.audio)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (16000, 1, length * 640)
    assert np.abs(read_audio(speaker.audio)).max() > 0.3
    assert (
        read_coefficients(speaker.coefficients)[:, JAW].std()
        > 3 * read_coefficients(listener.coefficients)[:, JAW].std()
    )
    assert read_video(tree / "previews" / "both" / "1.mp4").shape == (length, 256, 1024, 3)
    assert (tree / "previews" / "both" / "1.png").is_file()
    told = capsys.readouterr().out
    assert "both: 1 clips" in told
    assert "1 recordings, 1 clips; next: prepare check" in told


@pytest.mark.usefixtures("quick")
def test_interrupted_and_resumed(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in the middle leaves no clip; a killed run's rests go; a second run goes on; a third has nothing to do."""
    tree = tmp_path / "tree"
    listed = pairs_csv(films, "first,both.mp4,", "second,both.mp4,", header="name,speaker,listener")
    write, calls = recordings.write_clips, []

    def interrupted(*args: object) -> None:
        """The second recording, after ten frames."""
        calls.append(args)
        frames = iter(range(10))

        def on_frame() -> None:
            if len(calls) == 2 and next(frames, None) is None:
                raise KeyboardInterrupt

        write(*args[:4], on_frame)  # type: ignore[arg-type]

    monkeypatch.setattr(recordings, "write_clips", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_pairs(listed, tree, min_seconds=1, previews=False)
    assert {path.parts[2] for path in (p.relative_to(tree) for p in tree.rglob("*.mp4"))} == {"first"}
    assert not list(tree.glob(".partial*"))
    assert len(list_splits(tree)[0].pairs) == 1
    (tree / ".partial-second" / "Video_files").mkdir(parents=True)  # as kill -9 leaves it
    half = tree / "Video_files" / "Own" / "second" / "speaker"
    half.mkdir(parents=True)
    (half / "7.mp4").touch()
    monkeypatch.setattr(recordings, "write_clips", write)
    import_pairs(listed, tree, min_seconds=1, previews=False)
    assert "1 of 2 recordings are there already" in capsys.readouterr().out
    assert not list(tree.glob(".partial*"))
    assert not (half / "7.mp4").exists()
    there = files_of(tree)
    import_pairs(listed, tree, min_seconds=1, previews=False)
    assert "2 of 2 recordings are there already" in capsys.readouterr().out
    assert files_of(tree) == there
    undisturbed = tmp_path / "undisturbed"
    import_pairs(listed, undisturbed, min_seconds=1, previews=False)
    assert files_of(undisturbed) == there
    with pytest.raises(
        UserError, match=r"another recording called first: its min_seconds is 1, not 0\.5; give --overw"
    ):
        import_pairs(listed, tree, min_seconds=0.5, previews=False)
    import_pairs(listed, tree, min_seconds=0.5, previews=False, overwrite=True)
    assert json.loads((tree / "recordings" / "first.json").read_text())["recipe"]["min_seconds"] == 0.5


@pytest.mark.usefixtures("quick")
def test_splits_and_a_folder_that_is_taken(films: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    listed = pairs_csv(films, "b,both.mp4,val", "a,both.mp4,", "c,both.mp4,val", header="name,speaker,split")
    listed.write_text(listed.read_text().replace("name,speaker,split", "name,speaker,split,listener"))
    import_pairs(listed, tree, min_seconds=1, previews=False)
    with (tree / "val.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["", "speaker_path", "listener_path"],
        ["0", "Own/b/speaker/1", "Own/b/listener/1"],
        ["1", "Own/c/speaker/1", "Own/c/listener/1"],
    ]
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="is not empty and no tree that import made; give a new folder"):
        import_pairs(listed, tmp_path, min_seconds=1)
    with pytest.raises(UserError, match=r"--min-seconds 9 must be above 0 and at most --clip-seconds 4"):
        import_pairs(listed, tree, clip_seconds=4, min_seconds=9)


def test_one_bad_pair_does_not_stop_the_others(
    films: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    conversation: Conversation,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def read(pair: object, *args: object) -> Conversation:
        return conversation if pair.name == "good" else read_conversation(pair, *args)  # type: ignore[attr-defined, arg-type]

    monkeypatch.setattr(recordings, "read_conversation", read)
    listed = pairs_csv(films, "bad,nobody.mp4,", "good,both.mp4,", header="name,speaker,listener")
    with pytest.raises(
        UserError, match=r"1 of 2 recordings could not be imported, such as line 2 of .*: no face was found"
    ):
        import_pairs(listed, tmp_path / "tree", min_seconds=1, previews=False)
    assert len(list_splits(tmp_path / "tree")[0].pairs) == 1
    assert f"not imported: line 2 of {listed}: no face was found" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("nobody.mp4,,,,,", r"no face was found in .*nobody\.mp4"),
        (
            "alone.mp4,,left,,voice.wav,none",
            r"only one face was found in .*alone\.mp4, but speaker and listener are wan",
        ),
        ("both.mp4,,right,2,,", r"right and 2 are the same face in .*both\.mp4"),
        ("both.mp4,,3,left,,", r"--face 3: only 2 faces were found in .*both\.mp4"),
        (
            "alone.mp4,both.mp4,,,,",
            r"x: .*alone\.mp4 has no sound track; give a sound file in the column speaker_audio",
        ),
        ("both.mp4,,,,none,none", "x: without sound it can't be found who speaks; give speaker_face as left or right"),
    ],
)
def test_videos_that_cannot_be_a_conversation(films: Path, tmp_path: Path, row: str, message: str) -> None:
    header = "name,speaker,listener,speaker_face,listener_face,speaker_audio,listener_audio"
    with pytest.raises(UserError, match=message):
        import_pairs(pairs_csv(films, f"x,{row}", header=header), tmp_path / "tree", min_seconds=1, previews=False)
    assert files_of(tmp_path / "tree").keys() == {"coefficient_names.json"}


def test_several_processes(films: Path, tmp_path: Path, conversation: Conversation) -> None:
    """As in one; what goes wrong in a process comes out as its sentence."""
    listed = pairs_csv(films, "bad,nobody.mp4,", "good,both.mp4,", header="name,speaker,listener")
    with pytest.raises(
        UserError, match=r"1 of 2 recordings could not be imported, such as line 2 of .*: no face was found"
    ):
        import_pairs(listed, tmp_path / "tree", min_seconds=1, previews=False, workers=2)
    ((speaker, _),) = list_splits(tmp_path / "tree")[0].pairs
    found, (stop,) = read_coefficients(speaker.coefficients), [stop for _, stop in conversation.clips]
    assert len(found) == stop
    np.testing.assert_allclose(found, conversation.people["speaker"].measured.coefficients[:stop], atol=0.02)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["import", "--pairs", "no.csv", "--out", "tree"], "--pairs no.csv does not exist"),
        (["extract", "no.mp4", "--out", "clips"], "no.mp4 does not exist; give a video or sound file"),
    ],
)
def test_command_line_ends_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    monkeypatch.setattr("sys.argv", ["prepare", *words])
    with pytest.raises(SystemExit) as end:
        prepare.main()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


@pytest.mark.usefixtures("quick")
def test_what_is_worth_a_word(films: Path, tmp_path: Path) -> None:
    with recorded_tree.claimed(tmp_path):
        pass
    ((pair,), _) = read_pairs(pairs_csv(films, "both.mp4,"))
    settings = recordings.Settings(min_seconds=1, previews=False)
    record = recordings._import(tmp_path, pair, settings, lambda: None)
    assert "\n" not in recordings._report(pair, record)
    record["sound_seconds"]["listener"] -= 2
    record["jaw_open_follows_speaker_sound"]["speaker"] = 0.1
    _, short, unsure = recordings._report(pair, record).splitlines()
    assert short.endswith("the listener's sound ends 2.0 s before the picture: silence from there")
    assert "the speaker's mouth hardly follows the sound" in unsure


def test_a_machine_that_cannot_draw_says_so_first(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise UserError("this machine has no OpenGL")

    monkeypatch.setattr(recordings, "check_previews", fail)
    with pytest.raises(UserError, match="no OpenGL"):
        import_pairs(pairs_csv(films, "both.mp4,"), tmp_path / "tree")
    with pytest.raises(UserError, match="no OpenGL"):
        extract(films / "both.mp4", tmp_path / "out")


def test_two_videos_and_a_sound_file(films: Path, tmp_path: Path) -> None:
    """Each in a picture of their own, of different length and sound; then for longer than they are seen together."""
    header = "speaker,listener,listener_face,speaker_audio"
    listed = pairs_csv(films, "alone.mp4,both.mp4,left,voice.wav", header=header)
    ((pair,), _) = read_pairs(listed)
    found = read_conversation(pair, clip_seconds=1, min_seconds=1)
    assert found.clips[:2] == [(0, 25), (25, 50)]
    assert found.people["listener"].measured.squares[:, 0].mean() < 256
    assert found.facts["jaw_open_follows_speaker_sound"]["speaker"] > 0.8
    with pytest.raises(
        UserError, match=r"alone: speaker and listener are not both seen for 9 s on end, but for 2\.[01] s"
    ):
        import_pairs(listed, tmp_path / "tree", min_seconds=9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speaker\nboth.mp4\n", "has no column listener; its first line must name speaker and listener"),
        (
            "speaker,listener,speker_face\nboth.mp4,,\n",
            r"a column 'speker_face' that is not known; did you mean speaker_face",
        ),
        ("speaker,listener,colour\nboth.mp4,,\n", "a column 'colour' that is not known; known are name, split"),
        ("speaker,listener\n", "lists no pair"),
        ("speaker;listener\nboth.mp4;\n", "has semicolons between its cells, not commas"),
        ("speaker,listener,speaker\nboth.mp4,,\n", "has the column speaker twice"),
        ("speaker,listener\n,both.mp4\n", "line 2, names no speaker's video"),
        ("speaker,listener\nboth.mp4,,left\n", "line 2, has more fields than the first line has names"),
        ("speaker,listener,split\nboth.mp4,,dev\n", "line 2: split 'dev' is not known; give train, val, test"),
        (
            "speaker,listener,speaker_face\nboth.mp4,,top\n",
            "line 2: speaker_face 'top' is not known; give largest, left",
        ),
        ("speaker,listener,name\nboth.mp4,,a/b\n", "line 2: the name 'a/b' can't be a folder"),
        (
            "speaker,listener\nboth.mp4,\nalone.mp4,\nboth.mp4,alone.mp4\n",
            "lines 2 and 4 are both called both; name them",
        ),
        ("speaker,listener\nno.mp4,\n", r"no\.mp4 does not exist; give a video or sound file"),
        ("speaker,listener\nvoice.wav,\n", r"voice\.wav has no video track"),
        ("speaker,listener\npairs.csv,\n", r"pairs\.csv is not a video or sound file"),
        (
            "speaker,listener,speaker_audio\nboth.mp4,,alone.mp4\n",
            r"alone\.mp4 has no sound track; give a file with sound",
        ),
    ],
)
def test_csvs_that_say_nothing_sensible(films: Path, text: str, message: str) -> None:
    path = films / "pairs.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        _first_failure(path)


def _first_failure(path: Path) -> None:
    _, failed = read_pairs(path)
    raise next(iter(failed.values()))


@pytest.mark.usefixtures("quick")
def test_bad_lines_are_named_and_the_others_imported(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines are counted as an editor does: the first names the columns, a quoted cell may hold a line break."""
    lines = ['"first\n one",no.mp4,,', "good,both.mp4,,", ",,,", "late,both.mp4,,dev", "Good,both.mp4,,"]
    listed = pairs_csv(films, *lines, header="name,speaker,listener,split")
    with pytest.raises(UserError, match=r"3 of 4 recordings could not be imported, such as line 2 of .*: the name"):
        import_pairs(listed, tmp_path / "tree", min_seconds=1, previews=False)
    printed = capsys.readouterr().out
    for line, why in ((2, "the name 'first"), (6, "split 'dev' is not known"), (7, f"--pairs {listed}: lines 4 and 7")):
        assert f"not imported: line {line} of {listed}: {why}" in printed
    assert len(list_splits(tmp_path / "tree")[0].pairs) == 1


def test_csvs_that_are_none(films: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--pairs .*pairs\.csv does not exist; write a csv with the columns"):
        read_pairs(tmp_path / "pairs.csv")
    (films / "pairs.csv").write_bytes(b"speaker,listener\n\xff\xfe\n")
    with pytest.raises(UserError, match=r"--pairs .*pairs\.csv is no text in UTF-8 .*; save it as csv in UTF-8"):
        read_pairs(films / "pairs.csv")


@pytest.mark.usefixtures("quick")
def test_a_damaged_record_is_named(films: Path, tmp_path: Path) -> None:
    tree, listed = tmp_path / "tree", pairs_csv(films, "both.mp4,")
    import_pairs(listed, tree, min_seconds=1, previews=False)
    record = tree / "recordings" / "both.json"
    for content in ("{", "[]", '{"recipe": {}}', "\xff"):
        record.write_bytes(content.encode("latin-1"))
        with pytest.raises(
            UserError, match=r"both\.json is no.*if import wrote it remove it, and the recording will be made"
        ):
            import_pairs(listed, tree, min_seconds=1, previews=False)


def test_extract_one_person(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "both[").mkdir()
    (tmp_path / "both[/x].mp4").symlink_to(films / "both.mp4")  # a name that is no markup of the progress bar
    extract(tmp_path / "both[/x].mp4", tmp_path / "right", face="right", clip_seconds=2)
    assert sorted(path.name for path in (tmp_path / "right").iterdir()) == [
        *("1.mp4", "1.npy", "1.wav", "2.mp4", "2.npy", "2.wav", "coefficient_names.json"),
        *("preview_1.mp4", "preview_1.png", "preview_2.mp4", "preview_2.png"),
    ]
    assert np.load(tmp_path / "right" / "1.npy").shape == (50, 1, 58)
    assert read_video(tmp_path / "right" / "preview_2.mp4").shape == (30, 256, 512, 3)
    assert "0 of 80 frames are without the face; 80 can be used" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"--out .*right already exists; remove it or give another folder"):
        extract(films / "both.mp4", tmp_path / "right")


def test_extract_says_what_is_wrong(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"no face was found in .*nobody\.mp4"):
        extract(films / "nobody.mp4", tmp_path / "out")
    with pytest.raises(UserError, match=r"no\.mp4 does not exist"):
        extract(films / "no.mp4", tmp_path / "out")
    with pytest.raises(UserError, match="--face top is not known"):
        extract(films / "both.mp4", tmp_path / "out", face="top")
    with pytest.raises(UserError, match=r"the face is not seen for 20 s on end in .*alone\.mp4"):
        extract(films / "alone.mp4", tmp_path / "out", min_seconds=20)
    assert "alone.mp4 has no sound track: no wav is written" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
