"""A face followed while its video is decoded: what is looked at, what is cropped, and parts of pictures in RGB."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from unit import open_trees

from data_pipeline.open_data import following
from data_pipeline.open_data.following import Followed
from reactface_jax.extraction.people import Crop
from reactface_jax.media.face import FaceTrack, crop, steady_crops
from reactface_jax.media.picture import Picture
from reactface_jax.media.video import resize

HEIGHT, WIDTH = 120, 200
Place = Callable[[int], tuple[float, float]]


def picture(number: int, *places: tuple[float, float, int]) -> Picture:
    """White squares (left, top, side) on black; the brightest of them comes first."""
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for order, (left, top, side) in enumerate(places):
        rgb[round(top) : round(top) + side, round(left) : round(left) + side] = 250 - 100 * order
    return Picture(av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv444p"), number / 25)


def squares_in(frame: np.ndarray) -> list[list[float]]:
    """Stands for the detector."""
    light, boxes = frame.mean(axis=-1), []
    for low, high in ((200, 256), (100, 200)):
        rows, columns = np.nonzero((light >= low) & (light < high))
        if len(rows) > 50:
            boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return boxes


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    counted: list[None] = []

    def boxes(frame: np.ndarray) -> list[list[float]]:
        counted.append(None)
        return squares_in(frame)

    monkeypatch.setattr(following, "FaceLandmarker", lambda: open_trees.Landmarker(boxes))
    return counted


def test_crops_are_where_looking_at_every_frame_puts_them(looks: list[None]) -> None:
    """A face that swings to and fro within 2.4 s."""
    places = [(80 + 12 * np.sin(t / 60 * 2 * np.pi), 40 + 10 * np.cos(t / 45), 40) for t in range(150)]
    followed = Followed(None)
    crops = list(followed.crops(picture(t, place) for t, place in enumerate(places)))
    assert followed.held
    assert len(looks) == 16  # every tenth, and the last
    whole = FaceTrack({t: np.array([x, y, x + side, y + side]) for t, (x, y, side) in enumerate(places)})
    expected = steady_crops(whole, 150)
    found = np.stack([one.square for one in crops])
    assert np.abs(found - expected).max() < 0.02 * 68  # of a crop's side
    np.testing.assert_allclose(found[:, 2], 40 / 0.59, rtol=0.03)
    # The face is in the crop where its place says.
    white = np.stack([np.argwhere(one.picture[..., 0] > 125).mean(axis=0) for one in crops])
    centre = np.array([(x + 20, y + 20) for x, y, _ in places])
    shown = (centre - found[:, :2]) / found[:, 2:] * 256 + 128
    np.testing.assert_allclose(white[:, ::-1], shown, atol=3)


def test_a_face_that_comes_late_or_turns_out_larger_is_followed_from_the_beginning(looks: list[None]) -> None:
    def run(shown: Callable[[int], list[tuple[float, float, int]]]) -> tuple[Followed, list[Crop], list[Crop]]:
        frames = [picture(t, *shown(t)) for t in range(120)]
        first = Followed(None)
        crops = list(first.crops(frames))
        again = Followed(None, known=first.chosen)
        return first, crops, list(again.crops(frames)) if first.chosen else []

    first, crops, again = run(lambda t: [(20.0, 40.0, 40)] if t >= 70 else [])
    assert not first.held
    assert len(crops) == 0
    assert len(looks) == 70 + 5 + 1  # every frame until there is one
    assert {round(one.square[0]) for one in again} == {40}
    assert len(again) == 120
    # The left face is larger at first, the right one over all.
    first, crops, again = run(lambda t: [(20.0, 40.0, 40)] * (t < 50) + [(130.0, 40.0, 34)])
    assert not first.held
    assert {round(one.square[0]) for one in again} == {147}
    first, crops, again = run(lambda t: [])
    assert first.chosen is None
    assert crops == []


def test_a_face_that_is_lost_is_held_and_looked_for(looks: list[None]) -> None:
    frames = [picture(t, *([(60.0, 40.0, 40)] if not 30 <= t < 75 else [])) for t in range(150)]
    frames[120:] = [frames[120]] * 30  # one picture that stays
    followed = Followed(None)
    crops = list(followed.crops(frames))
    assert followed.held
    assert len(looks) == 3 + 45 + 5 + 1  # the last new picture, too
    assert {round(one.square[0]) for one in crops} == {80}
    assert sum(one.is_new for one in crops) == 121


def test_looking_where_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a half, or in the data set's boxes; beside the picture they say nothing."""
    for region, half, size in (
        ((60.0, 11.0, 121.0, 500.0), "", (HEIGHT - 11, 61)),
        (None, "right", (HEIGHT, WIDTH // 2)),
        ((WIDTH + 5.0, 0.0, WIDTH + 50.0, 60.0), "", (HEIGHT, WIDTH)),
    ):
        shapes: list[tuple[int, ...]] = []

        def look(frame: np.ndarray, shapes: list[tuple[int, ...]] = shapes) -> list[list[float]]:
            shapes.append(frame.shape)
            return squares_in(frame)

        monkeypatch.setattr(following, "FaceLandmarker", lambda look=look: open_trees.Landmarker(look))
        followed = Followed(region, half)
        crops = list(followed.crops([picture(0, (101.0, 30.0, 18))]))
        assert shapes == [(*size, 3)]
        assert round(crops[0].square[0]) == 110


def test_a_large_face_is_cropped_as_out_of_the_whole_picture() -> None:
    coarse = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    rgb = resize(np.kron(coarse, np.ones((20, 20, 1), np.uint8)), (900, 700))
    whole = Picture(av.VideoFrame.from_ndarray(rgb, format="rgb24"), 0.0)
    for square in ((340.3, 410.7, 560.2), (120.0, 800.0, 800.0)):  # the second reaches beyond the edges
        found = following._crop(whole, np.array(square)).astype(int)
        apart = np.abs(found - crop(rgb, np.array(square)))
        assert apart.max() <= 12  # at hard edges
        assert apart.mean() < 0.5


def decoded(path: Path, pix_fmt: str, aspect: Fraction | None = None) -> av.VideoFrame:
    rng = np.random.default_rng(0)
    rgb = np.kron(rng.integers(0, 255, (20, 30, 3)), np.ones((5, 5, 1))).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.height, stream.width, stream.pix_fmt = 100, 150, pix_fmt
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1  # BT.709
        container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv420p10le"])
@pytest.mark.parametrize("aspect", [None, Fraction(4, 3)], ids=str)
def test_a_part_is_what_it_is_in_the_whole(tmp_path: Path, pix_fmt: str, aspect: Fraction | None) -> None:
    whole = Picture(decoded(tmp_path / "a.mp4", pix_fmt), 0.0, aspect)
    height, width = whole.shape
    assert (height, width) == ((100, 150) if aspect is None else (100, 200))
    for left, top, right, bottom in ((0, 0, width, height), (13, 7, 74, 61), (33, 40, width, height)):
        part = whole.part(left, top, right, bottom)
        np.testing.assert_array_equal(part, whole.rgb[top:bottom, left:right])
        small, scale, x, y = whole.shrunk(left, top, right, bottom, 32)
        assert max(small.shape[:2]) == 32
        assert left - 1 <= x <= left
        assert top - 1 <= y <= top
        assert scale * small.shape[1] == pytest.approx(right - left, abs=3)
        assert np.abs(small.mean((0, 1)) - part.mean((0, 1))).max() < 4
