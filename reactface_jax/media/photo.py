"""A portrait photo: read, turned upright, its face made level and cut out as the portrait renderer expects."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps

from reactface_jax.errors import UserError
from reactface_jax.media.face import FaceLandmarker, FaceTrack, crop, steady_crops

_LARGEST_SIDE = 1600  # a larger photo is shrunk first; a portrait needs no more
_WITHOUT_WHITE = ("I", "F")  # Pillow's modes whose numbers don't say how bright they are
_MODEL_SHARE = 7 / 8  # of the data's crop that models see
_EYE_CORNERS = (33, 263)  # MediaPipe's numbers of the outer corners, from left to right in the picture


def read_photo(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Reads a photo as RGB, turned as its EXIF data says, what is transparent over white.

    Raises:
      UserError: the file is missing, is no picture that Pillow reads, is too large, or has pixels of 32 bits.
    """
    if not path.is_file():
        raise UserError(f"--portrait {path} {'is a folder' if path.is_dir() else 'does not exist'}; give a photo")
    try:
        with Image.open(path) as file:
            if file.mode in _WITHOUT_WHITE:
                raise UserError(f"--portrait {path} has pixels of 32 bits; save it as JPEG or PNG")
            photo = _opaque(_of_bytes(ImageOps.exif_transpose(file)))
    except Image.DecompressionBombError as error:
        raise UserError(f"--portrait {path} has too many pixels; make it smaller") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"--portrait {path} is no picture that can be read; save it as JPEG or PNG") from error
    photo.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    return np.asarray(photo)


def _of_bytes(photo: Image.Image) -> Image.Image:
    """Grey of 16 bits brought to 8, which Pillow would cut off at 255; other pictures as they are."""
    if not photo.mode.startswith("I;16"):
        return photo
    levels = np.asarray(photo)
    grey = Image.fromarray(np.round(levels / 257).astype(np.uint8))
    transparent = photo.info.get("transparency")
    if transparent is None:
        return grey
    return Image.merge("LA", (grey, Image.fromarray(np.where(levels == transparent, 0, 255).astype(np.uint8))))


def _opaque(photo: Image.Image) -> Image.Image:
    """As RGB; under transparent pixels a file may hold anything, which no viewer shows."""
    if not photo.has_transparency_data:
        return photo.convert("RGB")
    photo = photo.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo).convert("RGB")


def cut_portrait(photo: UInt8[np.ndarray, "H W 3"], size: int, source: str) -> UInt8[np.ndarray, "size size 3"]:
    """The largest face of a photo, its eyes level, framed as the model's frames are.

    Raises:
      UserError: there is no face; `source` names the photo.
    """
    with FaceLandmarker() as landmarker:
        faces = landmarker.landmarks(photo)
    if not faces:
        raise UserError(
            f"no face was found in --portrait {source}; give a photo in which a face is seen from the front"
        )
    landmarks = max((face[:, :2] for face in faces), key=lambda face: float(np.prod(np.ptp(face, axis=0))))
    photo, landmarks = _level(photo, landmarks)
    box = np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)])
    (square,) = steady_crops(FaceTrack({0: box}), 1)
    return crop(photo, square * [1, 1, _MODEL_SHARE], size)


def _level(
    photo: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "478 2"]
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "478 2"]]:
    """Turns the photo so that the eyes are level; the border is repeated outwards first, so that no corner is black."""
    left, right = landmarks[list(_EYE_CORNERS)]
    angle = np.arctan2(right[1] - left[1], right[0] - left[0])
    margin = int(np.ptp(landmarks, axis=0).max())
    padded = np.pad(photo, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    centre = landmarks.mean(axis=0) + margin
    turned = Image.fromarray(padded).rotate(
        float(np.degrees(angle)), Image.Resampling.BICUBIC, center=(float(centre[0]), float(centre[1]))
    )
    sine, cosine = np.sin(angle), np.cos(angle)
    back = np.array([[cosine, -sine], [sine, cosine]])  # rows times this: counterclockwise in a picture, y down
    return np.asarray(turned), ((landmarks + margin - centre) @ back + centre).astype(np.float32)
