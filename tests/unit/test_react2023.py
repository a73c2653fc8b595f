"""The raw tree's forms and traps."""

from pathlib import Path

import numpy as np
import pytest
from raw_tree import coefficients, person, write_csv, write_names, write_person, write_split, write_wav

from data_pipeline.own_recordings.probing import probe
from data_pipeline.raw_tree.clip_arrays import read_coefficient_names, read_coefficients, read_statistics
from data_pipeline.raw_tree.clips import iterate_frames, read_clip
from data_pipeline.raw_tree.react2023 import list_splits, read_appropriateness, warning_of_repeated_rows
from reactface_jax.errors import UserError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_split(tmp_path, "train", [4, 4, 4])
    return tmp_path


def test_order_is_pairs_then_swapped(tree: Path) -> None:
    (split,) = list_splits(tree)
    ids = [(speaker.id, listener.id) for speaker, listener in split.directions]
    pairs = [(person("train", i, "Expert"), person("train", i, "Novice")) for i in range(3)]
    assert ids == pairs + [(listener, speaker) for speaker, listener in pairs]


def test_per_split_folders_with_pngs(tmp_path: Path) -> None:
    write_split(tmp_path, "val", [12], per_split=True, png=True)
    (split,) = list_splits(tmp_path)
    speaker, listener = split.pairs[0]
    assert speaker.video.is_dir()
    frames = np.stack(list(iterate_frames(speaker.video)))
    assert frames.shape == (12, 64, 64, 3)
    assert (np.diff(frames[:, 0, 0, 1].astype(int)) == 4).all()  # 10.png comes after 9.png, not after 1.png
    (speaker.video / "5.png").unlink()
    with pytest.raises(UserError, match=r"Expert_video/1 has no 5\.png"):
        read_clip(speaker, listener)


def test_pngs_whose_first_are_missing(tmp_path: Path) -> None:
    """Picture 3 is not the first frame; numbers may count from 0, too."""
    write_split(tmp_path, "val", [4], png=True)
    pair = list_splits(tmp_path)[0].pairs[0]
    folder = Path(pair[0].video)
    for number in range(1, 5):
        (folder / f"{number}.png").rename(folder / f"{number - 1}.png")
    assert read_clip(*pair).frames[0] == read_clip(*pair[::-1]).portrait
    for missing in (0, 1):
        (folder / f"{missing}.png").unlink()
    with pytest.raises(UserError, match=r"Expert_video/1 has no 1\.png"):
        read_clip(*pair)
    assert "has no 1.png" in probe(pair[0]).damage


def test_rows_with_missing_files_are_left_out_with_their_reason(tree: Path) -> None:
    rows = [[person("train", i, "Expert"), person("train", i, "Novice")] for i in range(3)]
    write_csv(tree / "train.csv", [rows[0], ["UDIVA/talk/023102/FC1/8", "UDIVA/talk/023102/FC2/8"], rows[1], rows[2]])
    (tree / "Audio_files" / f"{rows[1][1]}.wav").unlink()
    (split,) = list_splits(tree)
    assert split.rows == [0, 3]
    assert split.num_rows == 4
    nothing = "has no video and no audio and no coefficients"
    assert [(row.row, row.reason) for row in split.left_out] == [
        (1, f"speaker {nothing}, listener {nothing}"),
        (2, "listener has no audio"),
    ]


def test_no_usable_row(tree: Path) -> None:
    write_csv(tree / "train.csv", [["UDIVA/a", "UDIVA/b"]])
    with pytest.raises(UserError, match=r"train\.csv has 1 rows and none can be used"):
        list_splits(tree)


def test_csv_without_index_column(tree: Path) -> None:
    before = list_splits(tree)[0].pairs
    rows = [[person("train", i, "Expert"), person("train", i, "Novice")] for i in range(3)]
    write_csv(tree / "train.csv", rows, index=False)
    assert list_splits(tree)[0].pairs == before


@pytest.mark.parametrize("header", ["", "0,1,2\n0,NoXI/a,NoXI/b\n", "speaker_path\nNoXI/a\n"])
def test_csv_without_the_columns(tree: Path, header: str) -> None:
    (tree / "train.csv").write_text(header)
    with pytest.raises(
        UserError, match=r"train\.csv has no column listener_path.*; its header must name speaker_path and"
    ):
        list_splits(tree)


def test_csv_that_is_no_text(tree: Path) -> None:
    (tree / "train.csv").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(UserError, match=r"train\.csv"):
        list_splits(tree)


def test_csv_row_of_one_path(tree: Path) -> None:
    (tree / "train.csv").write_text(",speaker_path,listener_path\n0,NoXI/a\n")
    with pytest.raises(UserError, match=r"train\.csv, row 0, has no path for the speaker or the listener"):
        list_splits(tree)


@pytest.mark.parametrize("in_csv", ["RECOLA", "Recola", "recola"])
@pytest.mark.parametrize("on_disk", ["RECOLA", "Recola"])
def test_site_names_differ_in_case(tmp_path: Path, in_csv: str, on_disk: str) -> None:
    for i, name in enumerate(("P25", "P26")):
        write_person(tmp_path, f"{on_disk}/group-1/{name}/1", i, 2)
    write_csv(tmp_path / "train.csv", [[f"{in_csv}/group-1/P25/1", f"{in_csv}/group-1/P26/1"]])
    (speaker, listener), _ = list_splits(tmp_path)[0].directions
    assert (speaker.id, listener.id) == ("RECOLA/group-1/P25/1", "RECOLA/group-1/P26/1")
    assert speaker.attributes is not None
    assert speaker.coefficients.is_file()


def test_a_site_that_is_on_disk_in_two_cases(tmp_path: Path) -> None:
    for site, split in (("RECOLA", "train"), ("Recola", "val")):
        people = [f"{site}/{split}/P{number}/1" for number in (25, 26)]
        for identity, name in enumerate(people):
            write_person(tmp_path, name, identity, 2, png=site == "Recola")
        write_csv(tmp_path / f"{split}.csv", [people])
    for split in list_splits(tmp_path):
        ((speaker, _),) = split.pairs
        assert speaker.id == f"RECOLA/{split.name}/P25/1"
        assert speaker.attributes is not None
        assert len(read_clip(*split.pairs[0]).frames) == 2


def test_rows_that_list_a_pair_again(tree: Path) -> None:
    assert warning_of_repeated_rows(list_splits(tree)) == ""
    rows = [[person("train", i, role) for role in ("Expert", "Novice")] for i in range(3)]
    write_csv(tree / "train.csv", [*rows, rows[1], rows[0][::-1]])
    warning = warning_of_repeated_rows(list_splits(tree))
    assert warning.startswith(
        "warning: 2 rows list a pair again, such as rows 1 and 3 of train.csv, NoXI/train_001/Expert_video/1; "
    )


def test_missing_tree_and_tree_without_csv(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"raw tree .*nowhere does not exist"):
        list_splits(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"has none of train\.csv, val\.csv and test\.csv"):
        list_splits(tmp_path)


@pytest.mark.parametrize("shape", [(1, 7, 58), (7, 1, 58), (7, 58), (1, 58)])
def test_coefficients_are_squeezed(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "1.npy", np.ones(shape))
    assert read_coefficients(tmp_path / "1.npy").shape == (np.prod(shape) // 58, 58)


def test_coefficients_that_can_not_be_used(tmp_path: Path) -> None:
    path = tmp_path / "1.npy"
    np.save(path, np.ones((7, 57)))
    with pytest.raises(UserError, match=r"1\.npy has shape \(7, 57\), not \[frames, 58\]"):
        read_coefficients(path)
    np.save(path, np.full((7, 58), np.nan))
    with pytest.raises(UserError, match=r"1\.npy has values that are not finite"):
        read_coefficients(path)
    np.save(path, np.array([{"pickled": 1}], dtype=object))
    with pytest.raises(UserError, match=r"1\.npy is a pickle, which is not read"):
        read_coefficients(path)
    path.write_text("404")
    with pytest.raises(UserError, match=r"1\.npy can't be read as an array"):
        read_coefficients(path)


class TestAppropriateness:
    def write(self, tree: Path, name: str, size: int) -> np.ndarray:
        matrix = np.random.default_rng(0).random((size, size)) < 0.4
        np.save(tree / name, matrix.astype(np.float64))
        return matrix | np.eye(size, dtype=bool)

    def test_file_that_reactface_reads_comes_first(self, tree: Path) -> None:
        (split,) = list_splits(tree)
        assert read_appropriateness(tree, split) is None
        self.write(tree, "neighbour_emotion_train.npy", 6)
        matrix = self.write(tree, "neighbour_emotion_new_train.npy", 6)
        found = read_appropriateness(tree, split)
        assert found is not None
        assert found[1].name == "neighbour_emotion_new_train.npy"
        np.testing.assert_array_equal(found[0], matrix)

    def test_rows_left_out_are_cut_from_it(self, tree: Path) -> None:
        (tree / "3D_FV_files" / f"{person('train', 1, 'Novice')}.npy").unlink()
        matrix = self.write(tree, "neighbour_emotion_train.npy", 6)
        found = read_appropriateness(tree, list_splits(tree)[0])
        assert found is not None
        np.testing.assert_array_equal(found[0], matrix[[0, 2, 3, 5]][:, [0, 2, 3, 5]])

    def test_of_other_rows_is_refused(self, tree: Path) -> None:
        (split,) = list_splits(tree)
        self.write(tree, "neighbour_emotion_train.npy", 5)
        with pytest.raises(UserError, match=r"neighbour_emotion_train\.npy has shape \(5, 5\), but .* 3 rows"):
            read_appropriateness(tree, split)
        np.save(tree / "neighbour_emotion_train.npy", np.full((6, 6), 0.3))
        with pytest.raises(UserError, match="values other than 0 and 1"):
            read_appropriateness(tree, split)


class TestClip:
    def test_lengths_of_750_and_752_frames(self, tree: Path) -> None:
        speaker, listener = list_splits(tree)[0].pairs[0]
        np.save(listener.coefficients, coefficients(9, 3))
        clip = read_clip(speaker, listener)
        assert len(clip.frames) == len(clip.speaker) == len(clip.listener) == len(clip.speaker_attributes) == 3

    def test_files_of_different_clips(self, tree: Path) -> None:
        speaker, listener = list_splits(tree)[0].pairs[0]
        np.save(speaker.coefficients, coefficients(9, 40))
        with pytest.raises(UserError, match=r"has 4 frames, but .*1\.npy of the same clip has 40"):
            read_clip(speaker, listener)

    def test_audio_a_little_shorter_is_kept_as_it_is(self, tree: Path) -> None:
        speaker, listener = list_splits(tree)[0].pairs[0]
        write_wav(speaker.audio, 0.1)
        assert read_clip(speaker, listener).audio.shape == (1600,)

    def test_audio_of_another_clip(self, tmp_path: Path) -> None:
        write_split(tmp_path, "train", [40])
        speaker, listener = list_splits(tmp_path)[0].pairs[0]
        write_wav(speaker.audio, 0.1)
        with pytest.raises(UserError, match=r"1\.wav lasts 0\.10 s, but its clip 1\.60 s"):
            read_clip(speaker, listener)

    def test_audio_that_is_too_long(self, tmp_path: Path) -> None:
        """By more than a second than the longest of the clip's other files."""
        write_split(tmp_path, "train", [40])
        speaker, listener = list_splits(tmp_path)[0].pairs[0]
        np.save(speaker.coefficients, coefficients(0, 20))
        write_wav(speaker.audio, 2.5)
        assert read_clip(speaker, listener).audio.shape == (40_000,)
        assert probe(speaker).damage == ""
        write_wav(speaker.audio, 3.6)
        with pytest.raises(UserError, match=r"1\.wav lasts 3\.60 s, but its clip 1\.60 s"):
            read_clip(speaker, listener)
        assert "1.wav lasts 3.60 s, but its clip 1.60 s" in probe(speaker).damage

    def test_without_attributes(self, tree: Path) -> None:
        (tree / "Emotion" / f"{person('train', 0, 'Expert')}.csv").unlink()
        clip = read_clip(*list_splits(tree)[0].pairs[0])
        assert clip.speaker_attributes.shape == (0, 25)
        assert clip.listener_attributes.shape == (4, 25)

    @pytest.mark.parametrize(
        ("kind", "content", "message"),
        [
            ("video", b"a text file", r"1\.mp4 is not a video"),
            ("audio", b"", r"1\.wav is empty"),
            ("attributes", b"a,b\n1,2\n", r"1\.csv has 2 columns"),
            ("attributes", b"a,b\nx,y\n", r"1\.csv is not a header and rows"),
        ],
    )
    def test_damaged_files(self, tree: Path, kind: str, content: bytes, message: str) -> None:
        speaker, listener = list_splits(tree)[0].pairs[0]
        getattr(speaker, kind).write_bytes(content)
        with pytest.raises(UserError, match=message):
            read_clip(speaker, listener)

    def test_wav_without_samples(self, tree: Path) -> None:
        speaker, listener = list_splits(tree)[0].pairs[0]
        write_wav(speaker.audio, 0.0)
        with pytest.raises(UserError, match=r"1\.wav"):
            read_clip(speaker, listener)


def test_statistics(tmp_path: Path) -> None:
    np.save(tmp_path / "mean_face.npy", np.ones((1, 1, 58)))
    assert read_statistics(tmp_path) is None
    np.save(tmp_path / "std_face.npy", np.full(58, 2.0))
    mean, std = read_statistics(tmp_path) or (None, None)
    np.testing.assert_array_equal(mean, np.ones(58))
    np.testing.assert_array_equal(std, np.full(58, 2.0))
    np.save(tmp_path / "std_face.npy", np.ones(57))
    with pytest.raises(UserError, match=r"std_face\.npy has shape \(57,\)"):
        read_statistics(tmp_path)


def test_coefficient_names(tmp_path: Path) -> None:
    names = read_coefficient_names(tmp_path)
    assert names[:2] == ["expression_00", "expression_01"]
    assert names[51:] == ["expression_51", *(f"{kind}_{a}" for kind in ("rotation", "translation") for a in "xyz")]
    write_names(tmp_path, [f"n{i}" for i in range(52)])
    assert read_coefficient_names(tmp_path)[50:53] == ["n50", "n51", "rotation_x"]
    write_names(tmp_path, ["jawOpen"] * 58)
    with pytest.raises(UserError, match=r"coefficient_names\.json must be a list of 52 or 58 different names"):
        read_coefficient_names(tmp_path)
    (tmp_path / "coefficient_names.json").write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        read_coefficient_names(tmp_path)
