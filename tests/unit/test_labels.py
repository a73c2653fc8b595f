"""Label matrices: cut where every row matches, built where there is none, and refused otherwise."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from unit.labelled_tree import INDICES, NOXI, OTHERS, ROWS, write_full, write_tree
from unit.raw_tree import write_wav

from data_pipeline import prepare
from data_pipeline.dyads.attributes import attributes
from data_pipeline.dyads.conversations import Recipe, plan
from data_pipeline.dyads.conversations import neighbours as planted_neighbours
from data_pipeline.labels.appropriateness import cut, neighbours, voice
from data_pipeline.labels.command import labels
from data_pipeline.raw_tree.react2023 import list_splits, read_appropriateness
from reactface_jax.errors import UserError
from reactface_jax.metrics import dtw, dtw_pairs
from reactface_jax.metrics.dtw_pairs import Term, closest_pairs

NONE = np.zeros((0, 2), np.int64)


@pytest.mark.parametrize("sampled", [4096, 16])
@pytest.mark.parametrize("workers", [1, 2])
def test_closest_pairs_are_those_of_all_distances(monkeypatch: pytest.MonkeyPatch, sampled: int, workers: int) -> None:
    """With a sample's limit, with too low a limit, with two terms, and with 2 threads."""
    monkeypatch.setattr(dtw_pairs, "_SAMPLED", sampled)
    rng = np.random.default_rng(0)
    first, second = (list(rng.normal(size=(24, 30, c)).astype(np.float32).cumsum(axis=1) / 4) for c in (3, 2))
    expected = dtw.distances(np.array(first), np.array(first)) + 0.5 * dtw.distances(np.array(second), np.array(second))
    expected /= np.sqrt(30)
    excluded = np.array([[0, 1], [5, 2]])
    expected[excluded[:, 0], excluded[:, 1]] = expected[excluded[:, 1], excluded[:, 0]] = np.inf
    upper = np.sort(expected[np.triu_indices(24, 1)])
    terms, calls = [Term(second, 0.5), Term(first, 1.0)], []
    found, threshold = closest_pairs(terms, 40, excluded, workers, on_row=lambda: calls.append(1))
    assert threshold == pytest.approx(upper[39], rel=1e-5)
    np.testing.assert_array_equal(np.isfinite(found), (expected <= upper[39] * (1 + 1e-6)) & ~np.eye(24, dtype=bool))
    np.testing.assert_allclose(found[np.isfinite(found)], expected[np.isfinite(found)], rtol=1e-5)
    assert len(calls) == 24


def test_closest_pairs_goes_on_when_the_limit_was_too_low(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtw_pairs, "_SAMPLED", 16)
    sampled = dtw_pairs._sampled
    monkeypatch.setattr(dtw_pairs, "_sampled", lambda *a: (sampled(*a)[0], np.full(16, 0.2)))
    sequences = list(np.random.default_rng(0).normal(size=(20, 8, 3)).astype(np.float32))
    found, _ = closest_pairs([Term(sequences, 1.0)], 60, NONE)
    assert np.isfinite(found).sum() == 120


def test_closest_pairs_of_different_lengths() -> None:
    rng = np.random.default_rng(1)
    sequences = [rng.normal(size=(length, 3)).astype(np.float32) for length in (9, 12, 9, 15)]
    found, _ = closest_pairs([Term(sequences, 2.0)], 6, NONE)
    for i, j in ((0, 1), (0, 2), (3, 1)):
        cost = dtw.distances(sequences[i][None], sequences[j][None])[0, 0]
        assert found[i, j] == pytest.approx(2 * cost / np.sqrt(max(len(sequences[i]), len(sequences[j]))), rel=1e-5)
    with pytest.raises(ValueError, match="there are 6 pairs"):
        closest_pairs([Term(sequences, 1.0)], 7, NONE)


@pytest.fixture(scope="module")
def played() -> tuple[list[np.ndarray], np.ndarray]:
    """Coefficients of made speakers who share scripts in threes, and who is whose neighbour."""
    conversations = plan(Recipe(num_clips=24, seconds=8))["train"]
    coefficients = [c.play(role)[0] for role in (0, 1) for c in conversations]
    return coefficients, planted_neighbours(conversations).astype(bool)


@pytest.mark.parametrize(("source", "least"), [("coefficients", 0.85), ("attributes", 0.7)])
def test_planted_neighbours_are_found(played: tuple[list[np.ndarray], np.ndarray], source: str, least: float) -> None:
    sequences, planted = played
    if source == "attributes":
        sequences = [attributes(s).astype(np.float32) for s in sequences]
    made = neighbours(sequences, float(planted.sum(1).mean()))
    own = np.eye(len(planted), dtype=bool)
    hits = (made.matrix & planted & ~own).sum()
    assert hits / (made.matrix & ~own).sum() > least  # precision
    assert hits / (planted & ~own).sum() > least  # recall
    np.testing.assert_array_equal(made.matrix, made.matrix.T)
    assert made.matrix.diagonal().all()
    assert made.degrees.mean() == pytest.approx(planted.sum(1).mean(), abs=0.1)


def test_counterparts_are_never_neighbours() -> None:
    """Even when both people of a conversation do the same, and everyone else is wanted."""
    half = list(np.random.default_rng(0).normal(size=(4, 10, 58)).astype(np.float32))
    made = neighbours(half + half, 7)
    assert made.matrix.sum() == 8 * 7
    assert not made.matrix[np.arange(4), np.arange(4) + 4].any()
    with pytest.raises(UserError, match=r"--mean-degree 7\.5 can't be reached: 8 clips allow 1 to 7"):
        neighbours(half + half, 7.5)
    np.testing.assert_array_equal(neighbours(half + half, 1).matrix, np.eye(8, dtype=bool))


def test_voices_count_as_much_as_asked() -> None:
    """Faces pair 0 with 1, voices 0 with 2."""
    rng = np.random.default_rng(0)
    faces, voices = rng.normal(size=(8, 40, 58)).astype(np.float32), rng.normal(size=(8, 40, 20)).astype(np.float32)
    faces[1], voices[2] = faces[0] * 1.01, voices[0] * 1.01
    assert neighbours(list(faces), 1.25, list(voices), 0.01).matrix[0, 1]
    assert neighbours(list(faces), 1.25, list(voices), 100.0).matrix[0, 2]


def test_a_person_at_rest_looks_like_nobody() -> None:
    """Where somebody's head stands and what the face is at rest does not matter; movement does."""
    rng = np.random.default_rng(0)
    faces = rng.normal(size=(8, 40, 58)).astype(np.float32)
    faces[3] = faces[0] + rng.normal(size=58).astype(np.float32)
    assert neighbours(list(faces), 1.25).matrix[0, 3]
    with pytest.raises(UserError, match="nothing moves in any clip"):
        neighbours([np.ones((4, 58), np.float32)] * 4, 2)


def test_voice_follows_the_frames(tmp_path: Path) -> None:
    write_tree(tmp_path, NOXI)
    person = list_splits(tmp_path)[0].pairs[0][0]
    write_wav(person.audio, 0.4)
    bands = voice(person, 20)
    assert bands.shape == (20, 20)
    assert (bands[:10].mean() - bands[11:].mean()) > 3  # noise, then silence


def test_cut_follows_the_csv(tmp_path: Path) -> None:
    """Sites in any case, UDIVA's session_task, rows in any order, rows that are left out."""
    write_tree(tmp_path, NOXI + OTHERS)
    (tmp_path / "Audio_files" / f"{NOXI[1][0]}.wav").unlink()
    full = write_full(tmp_path)
    (split,) = list_splits(tmp_path)
    both = np.array(ROWS + [row + len(INDICES) for row in ROWS])
    np.testing.assert_array_equal(cut(tmp_path, split).matrix, full[np.ix_(both, both)])


def test_command_writes_what_the_reader_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tree(tmp_path, NOXI + OTHERS, emotion=True)
    write_full(tmp_path)
    labels(tmp_path, "full")
    (split,) = list_splits(tmp_path)
    found = read_appropriateness(tmp_path, split)
    assert found is not None
    np.testing.assert_array_equal(found[0], cut(tmp_path, split).matrix)
    with pytest.raises(UserError, match=r"neighbour_emotion_train\.npy is there; give --overwrite"):
        labels(tmp_path, "full")
    for source in ("attributes", "coefficients"):
        labels(tmp_path, source, mean_degree=3, overwrite=True, workers=2)  # type: ignore[arg-type]
        found = read_appropriateness(tmp_path, split)
        assert found is not None
        assert found[0].sum() == 10 * 3
        description = json.loads((tmp_path / "neighbour_emotion_train.json").read_text())
        assert description["source"] == source
        assert description["threshold"] > 0
        histogram = np.array(description["histogram_of_degrees"])
        assert histogram.sum() == 10
        assert histogram @ np.arange(len(histogram)) == 10 * 3
    with Image.open(tmp_path / "neighbour_emotion_train.png") as picture:
        assert picture.size == (1100, 500)
    assert "appropriate reactions a clip: mean 3.0" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.partial"))


def test_picture_keeps_single_neighbours() -> None:
    from data_pipeline.labels.command import _shrunk

    matrix = np.zeros((1500, 1500), bool)
    matrix[700, 3] = True
    assert _shrunk(matrix).shape == (500, 500)
    assert _shrunk(matrix).sum() == 1


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (INDICES[1:], r"1 of 5 rows of train\.csv match no row of .*data_indices\.csv, such as row 3, RECOLA/group-1"),
        ([*INDICES, INDICES[0]], r"row 3, RECOLA/group-1/P25/1, matches rows 0 and 5 of .*data_indices\.csv"),
        ([*INDICES, "NoXI,,1"], r"data_indices\.csv, row 5, has no chat_index"),
    ],
)
def test_rows_that_do_not_match_are_refused(tmp_path: Path, indices: list[str], message: str) -> None:
    write_tree(tmp_path, NOXI + OTHERS)
    write_full(tmp_path, indices)
    with pytest.raises(UserError, match=message):
        labels(tmp_path, "full")
    assert not list(tmp_path.glob("neighbour*"))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([NOXI[0], NOXI[0][::-1]], r"row 1, NoXI/001_x_Paris/Novice_video/1, is an earlier row with the roles swapped"),
        ([*NOXI, NOXI[0]], r"row 3, NoXI/001_x_Paris/Expert_video/1, is an earlier row again; remove one of them"),
        ([NOXI[0], NOXI[1][::-1]], r"has both NoXI/001.*/Expert_video/1 and NoXI/001.*/Novice_video/2 as speakers"),
        ([[NOXI[0][0], NOXI[1][1]]], r"row 0: NoXI/001.* and NoXI/001.* are not of one conversation"),
    ],
)
def test_rows_that_contradict_each_other_are_refused(tmp_path: Path, pairs: list[list[str]], message: str) -> None:
    write_tree(tmp_path, pairs)
    write_full(tmp_path)
    with pytest.raises(UserError, match=message):
        cut(tmp_path, list_splits(tmp_path)[0])


def test_rows_that_list_a_pair_again_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each would be its copy's neighbour."""
    write_tree(tmp_path, NOXI + NOXI[:1])
    labels(tmp_path, "coefficients", mean_degree=2)
    assert "warning: 1 rows list a pair again, such as rows 0 and 3 of train.csv" in capsys.readouterr().out


def test_unusable_full_matrices_are_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, NOXI)
    (split,) = list_splits(tmp_path)
    with pytest.raises(UserError, match=r"data_indices\.csv does not exist"):
        cut(tmp_path, split)
    full = write_full(tmp_path)
    path = tmp_path / "Approprirate_facial_reaction.npy"
    np.save(path, full[:-1])
    with pytest.raises(UserError, match=r"has shape \[9, 10\], but .* has 5 rows, so it must be \[10, 10\]"):
        cut(tmp_path, split)
    np.save(path, full * 0.3)
    with pytest.raises(UserError, match="values other than 0 and 1"):
        cut(tmp_path, split)
    path.unlink()
    with pytest.raises(UserError, match=r"Approprirate_facial_reaction\.npy does not exist"):
        cut(tmp_path, split)
    (tmp_path / "data_indices.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"data_indices\.csv is no text in UTF-8"):
        cut(tmp_path, split)


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, NOXI)
    with pytest.raises(UserError, match="--source coefficients needs --mean-degree"):
        labels(tmp_path, "coefficients")
    with pytest.raises(UserError, match="--source full cuts a finished matrix: leave out"):
        labels(tmp_path, "full", mean_degree=3)
    with pytest.raises(UserError, match="--average and --workers must be 1 or more"):
        labels(tmp_path, "coefficients", mean_degree=3, average=0)
    with pytest.raises(UserError, match=r"--splits dev: .* has train; give some of these"):
        labels(tmp_path, "coefficients", mean_degree=3, splits=("dev",))
    with pytest.raises(UserError, match="of train has no Emotion file; use --source coefficients"):
        labels(tmp_path, "attributes", mean_degree=3)
    (tmp_path / "neighbour_emotion_new_train.npy").touch()
    with pytest.raises(UserError, match=r"neighbour_emotion_new_train\.npy is there and would be read instead"):
        labels(tmp_path, "coefficients", mean_degree=3, overwrite=True)
    labels(tmp_path, "coefficients", mean_degree=3, out=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "neighbour_emotion_train.npy").is_file()


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -1.0])
def test_weight_that_is_no_finite_number_is_refused(tmp_path: Path, weight: float) -> None:
    """NaN is not below 0 either; the search for the closest pairs never ended with it."""
    write_tree(tmp_path, NOXI)
    with pytest.raises(UserError, match="--audio-weight must be a finite number of 0 or more"):
        labels(tmp_path, "coefficients", mean_degree=3, audio_weight=weight)
    with pytest.raises(UserError, match="--mean-degree nan can't be reached"):
        labels(tmp_path, "coefficients", mean_degree=float("nan"))


def test_closest_pairs_ends_whatever_the_numbers() -> None:
    """NaN and sums beyond float32 are refused; where most pairs are copies, a limit of 0 must grow."""
    rng = np.random.default_rng(0)
    sequences = list(rng.normal(size=(6, 9, 3)).astype(np.float32))
    with pytest.raises(ValueError, match="sequence 2 has values that are not finite"):
        Term([*sequences[:2], sequences[2] * np.nan], 1.0)
    with pytest.raises(ValueError, match="weight of a term is nan"):
        Term(sequences, float("nan"))
    with pytest.raises(ValueError, match="0 pairs have a distance that is finite in float32, not 3"):
        closest_pairs([Term(sequences, 1e38), Term(sequences, 3e38)], 3, NONE)


def test_closest_pairs_of_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample holds only distances of 0, but more pairs are wanted than are copies."""
    monkeypatch.setattr(dtw_pairs, "_SAMPLED", 16)
    same = np.zeros((9, 3), np.float32)
    others = [same + n for n in (1, 2, 3)]
    distances, threshold = closest_pairs([Term([same] * 12 + others, 1.0)], 66 + 12, NONE)
    assert np.isfinite(distances).sum() == 2 * (66 + 12 + 2)  # at the threshold too: 1 from 2, and 2 from 3
    assert threshold == pytest.approx(np.sqrt(3))


def test_matrix_that_is_not_ours_is_kept(tmp_path: Path) -> None:
    """Also with --overwrite: the organisers' own matrix lies under that name."""
    write_tree(tmp_path, NOXI)
    matrix = tmp_path / "neighbour_emotion_train.npy"
    np.save(matrix, np.eye(6))
    for beside in (None, "{}", "[" * 200_000, json.dumps({"sha256": "another"})):
        if beside:
            matrix.with_suffix(".json").write_text(beside)
        with pytest.raises(UserError, match=r"neighbour_emotion_train\.npy was not made by this command"):
            labels(tmp_path, "coefficients", mean_degree=3, overwrite=True)
    np.testing.assert_array_equal(np.load(matrix), np.eye(6))


def test_killed_before_the_matrix_took_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, NOXI)
    labels(tmp_path, "coefficients", mean_degree=3)
    before = (tmp_path / "neighbour_emotion_train.npy").read_bytes()

    class Killed(BaseException):
        pass

    def kill(*arguments: object) -> bytes:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("data_pipeline.labels.command._picture", kill)
        with pytest.raises(Killed):
            labels(tmp_path, "coefficients", mean_degree=2, overwrite=True)
    assert (tmp_path / "neighbour_emotion_train.npy").read_bytes() == before
    labels(tmp_path, "coefficients", mean_degree=2, overwrite=True)
    assert np.load(tmp_path / "neighbour_emotion_train.npy").sum() == 12


def test_wrong_folder_is_reported_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, NOXI)
    monkeypatch.setattr("data_pipeline.labels.command.build", None)
    with pytest.raises(UserError, match=r"train\.csv/x can't be written"):
        labels(tmp_path, "coefficients", mean_degree=3, out=tmp_path / "train.csv" / "x")


def test_command_line_ends_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["prepare", "labels", "--raw", str(tmp_path / "no"), "--source", "full"])
    with pytest.raises(SystemExit) as end:
        prepare.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        f"error: raw tree {tmp_path / 'no'} does not exist; give the folder that holds train.csv and Video_files\n"
    )
