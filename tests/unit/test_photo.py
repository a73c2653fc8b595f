"""A portrait photo is turned upright and level, and framed as the model's frames are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reactface_jax.errors import UserError
from reactface_jax.media.face import FaceLandmarker, model_frame
from reactface_jax.media.photo import cut_portrait, read_photo
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, HeadRenderer


@pytest.fixture(scope="module", name="faces")
def _faces() -> list[np.ndarray]:
    """A head that looks into the camera, and the same leaning to the side."""
    renderer = HeadRenderer((400, 400))
    leaning = NEUTRAL.copy()
    leaning[54] = 0.3
    faces = [renderer.render(coefficients) for coefficients in (NEUTRAL, leaning)]
    renderer.close()
    return faces


def eyes_and_box(picture: np.ndarray) -> tuple[float, np.ndarray]:
    """The angle of the line through the eyes (rad), and left, top, right, bottom of the face."""
    with FaceLandmarker() as landmarker:
        (face,) = landmarker.landmarks(picture)
    across = face[263, :2] - face[33, :2]
    return float(np.arctan2(across[1], across[0])), np.concatenate([face[:, :2].min(0), face[:, :2].max(0)])


def test_a_leaning_face_is_made_level(faces: list[np.ndarray]) -> None:
    assert abs(eyes_and_box(faces[1])[0]) > 0.2
    wide = np.pad(faces[1], ((0, 50), (300, 0), (0, 0)), mode="edge")
    portrait = cut_portrait(wide, 224, "me.jpg")
    assert portrait.shape == (224, 224, 3)
    angle, box = eyes_and_box(portrait)
    assert abs(angle) < 0.05
    # As a video's frame: the face is 0.59 of the crop's height, of which models see 7/8.
    assert (box[3] - box[1]) / 224 == pytest.approx(0.59 * 8 / 7, abs=0.04)
    assert (box[0] + box[2]) / 2 == pytest.approx(112, abs=6)


def test_a_straight_face_is_framed_as_the_speakers(faces: list[np.ndarray]) -> None:
    small = np.asarray(Image.fromarray(faces[0]).resize((256, 256), Image.Resampling.BOX))
    portrait = cut_portrait(faces[0], 224, "me.jpg")
    assert abs(portrait.astype(int) - model_frame(small, 224)).mean() < 12  # the same framing, about


def test_photos_are_read_upright(faces: list[np.ndarray], tmp_path: Path) -> None:
    photo = Image.fromarray(faces[0][:300])
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its left side
    photo.transpose(Image.Transpose.ROTATE_90).convert("CMYK").save(tmp_path / "me.jpg", exif=exif, quality=95)
    read = read_photo(tmp_path / "me.jpg")
    assert read.shape == (300, 400, 3)
    assert abs(read.astype(int) - faces[0][:300]).mean() < 12
    Image.new("RGBA", (4000, 3000)).save(tmp_path / "large.png")
    assert read_photo(tmp_path / "large.png").shape == (1200, 1600, 3)


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA"])
def test_what_is_transparent_is_white(tmp_path: Path, mode: str) -> None:
    """Noise lies under the transparent half of the picture."""
    picture = np.random.default_rng(0).integers(0, 120, (20, 20, 4), np.uint8)
    picture[..., 3] = 255
    picture[:, 10:, 3] = 0
    Image.fromarray(picture).convert(mode).save(tmp_path / "cut.png")
    read = read_photo(tmp_path / "cut.png")
    assert (read[:, 10:] == 255).all()
    assert read[:, :10].max() < 130


@pytest.mark.parametrize("name", ["grey.png", "grey.tif"])
def test_grey_of_16_bits_keeps_its_brightness(faces: list[np.ndarray], tmp_path: Path, name: str) -> None:
    grey = np.asarray(Image.fromarray(faces[0]).convert("L"))
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / name)
    np.testing.assert_array_equal(read_photo(tmp_path / name), grey[..., None].repeat(3, -1))


def test_grey_of_16_bits_may_be_transparent(tmp_path: Path) -> None:
    levels = np.full((8, 8), 10_000, np.uint16)
    levels[:, 4:] = 300
    Image.fromarray(levels).save(tmp_path / "cut.png", transparency=300)
    read = read_photo(tmp_path / "cut.png")
    assert (read[:, 4:] == 255).all()
    assert (read[:, :4] == round(10_000 / 257)).all()


def test_wrong_photos_get_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_photo(tmp_path / "me.jpg")
    (tmp_path / "me.jpg").write_text("I am no picture.")
    with pytest.raises(UserError, match=r"me\.jpg is no picture"):
        read_photo(tmp_path / "me.jpg")
    for pixels in (np.full((8, 8), 0.5, np.float32), np.full((8, 8), 70_000, np.int32)):
        Image.fromarray(pixels).save(tmp_path / "me.tif")
        with pytest.raises(UserError, match=r"me\.tif has pixels of 32 bits; save it as JPEG or PNG"):
            read_photo(tmp_path / "me.tif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow refuses twice as many
    Image.new("L", (20, 20)).save(tmp_path / "large.png")
    with pytest.raises(UserError, match=r"large\.png has too many pixels; make it smaller"):
        read_photo(tmp_path / "large.png")
    with pytest.raises(UserError, match=r"no face was found in --portrait wall\.jpg"):
        cut_portrait(np.full((200, 200, 3), 90, np.uint8), 224, "wall.jpg")
