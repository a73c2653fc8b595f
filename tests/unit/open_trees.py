"""Small made trees of the public forms of two-person data, with their traps."""

import io
import json
import tarfile
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from data_pipeline.open_data import faces
from data_pipeline.open_data.media import pictures
from data_pipeline.raw_tree.clips import jpeg
from reactface_jax.media.video import resize

PAL, NTSC, ODD = Fraction(25), Fraction(30000, 1001), Fraction(45000, 1501)
Talk = Sequence[tuple[float, float]]


def film(
    path: Path,
    numbers: Sequence[int],
    rate: Fraction,
    light: Callable[[int], int],
    size: tuple[int, int] = (32, 32),
    codec: str = "libx264",
) -> Path:
    """A grey video of which only some pictures are there: number k is shown at k / rate."""
    with av.open(str(path), "w") as container:
        options = {"crf": "10", "preset": "ultrafast", "g": "24"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for k in numbers:
            frame = av.VideoFrame.from_ndarray(np.full((*size, 3), light(k), np.uint8), format="rgb24")
            frame.pts, frame.time_base = k, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def grey(path: Path, seconds: float, rate: Fraction, level: int = 100) -> Path:
    """A whole video that gets lighter with time."""
    return film(path, range(round(seconds * rate)), rate, lambda k: min(255, level + k // 8))


def voice(path: Path, seconds: float, *talks: Talk, rate: int = 48000) -> Path:
    """Noise where somebody talks, and a quiet room elsewhere; a channel for each of `talks`."""
    rng = np.random.default_rng(len(str(talks)))
    times = np.arange(round(seconds * rate)) / rate
    channels = []
    for talk in talks:
        loud = sum(((begin <= times) & (times < end) for begin, end in talk), np.zeros(len(times), bool))
        channels.append(rng.normal(size=len(times)) * np.where(loud, 3000, 5))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(talks))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.clip(np.stack(channels, 1), -32000, 32000).astype("<i2").tobytes())
    return path


def click(path: Path, seconds: float, moment: float) -> Path:
    """Silence but for a tenth of a second."""
    samples = np.zeros(round(seconds * 16000), "<i2")
    samples[round(moment * 16000) : round((moment + 0.1) * 16000)] = 9000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.tobytes())
    return path


def boxes(num_pictures: int, invalid: slice = slice(0)) -> dict[str, np.ndarray]:
    """Boxes over the right lower part of a picture of 32x32; garbage where they are not valid."""
    box = np.tile(np.array([8, 8, 30, 30], np.float32), (num_pictures, 1))
    valid = np.ones(num_pictures, bool)
    box[invalid], valid[invalid] = -7, False
    return {"boxes_and_keypoints:box": box, "boxes_and_keypoints:is_valid_box": valid}


def movement(num_pictures: int) -> dict[str, np.ndarray]:
    """FAU values that count pictures, with a block of 60 that is not valid; and SMPL-H at eight times the rate."""
    valid = np.ones((num_pictures, 1), np.float32)
    valid[60:120] = 0
    counted = np.tile(np.arange(num_pictures, dtype=np.float32)[:, None], (1, 24))
    body = np.tile(np.arange(8 * num_pictures, dtype=np.float32)[:, None], (1, 3)) / 8
    return {"movement:FAUValue": counted, "movement:is_valid": valid, "smplh:global_orient": body}


def participant(
    folder: Path,
    name: str,
    seconds: float,
    rate: Fraction,
    talk: Talk,
    *,
    vad: Talk | None = None,
    sound_seconds: float | None = None,
    arrays: dict[str, np.ndarray] | None = None,
    level: int = 100,
) -> None:
    """One participant's four files of Seamless Interaction."""
    folder.mkdir(parents=True, exist_ok=True)
    grey(folder / f"{name}.mp4", seconds, rate, level)
    voice(folder / f"{name}.wav", sound_seconds or seconds, talk)
    stretches = [{"start": begin, "end": end} for begin, end in (talk if vad is None else vad)]
    content = {"id": name, "metadata:transcript": [], "metadata:vad": stretches}
    (folder / f"{name}.json").write_text(json.dumps(content))
    np.savez_compressed(folder / f"{name}.npz", **(boxes(round(seconds * rate)) if arrays is None else arrays))


def seamless(root: Path) -> Path:
    """The hub's form with every trap of the audit; 12 s a conversation."""
    made, hub = root.with_name(f"{root.name}-made"), root / "improvised"
    train, dev = made / "train", made / "dev"
    first, second, both = (0.0, 4.0), (4.0, 8.0), (8.0, 12.0)
    count = round(12 * ODD)
    # The first talks, then the second, then both.
    whole = boxes(count, slice(0, 60)) | movement(count)
    participant(train, "V00_S0001_I00000007_P0001", 12, ODD, [first, both], arrays=whole, level=40)
    participant(train, "V00_S0001_I00000007_P0002A", 12, NTSC, [second, both], level=60)
    # Another session with the same prompt; its vendor has no movement.
    participant(train, "V01_S0002_I00000007_P0003", 12, Fraction(30), [first, second], level=80)
    participant(train, "V01_S0002_I00000007_P0004", 12, Fraction(30), [(8.0, 12.0)], level=100)
    participant(train, "V00_S0003_I00000008_P0005", 6, Fraction(30), [first])  # without a partner
    participant(train, "V00_S0004_I00000009_P0006", 6, Fraction(30), [first])
    bad = "V00_S0004_I00000009_P0007"  # a bundle of stubs
    (train / f"{bad}.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(249))
    (train / f"{bad}.wav").write_bytes(_stub_wav())
    np.savez_compressed(train / f"{bad}.npz", **{name: array[:0] for name, array in boxes(3).items()})
    (train / f"{bad}.json").write_text(json.dumps({"id": bad, "metadata:vad": []}))
    # Voice activity of another recording; and a sound of another length.
    participant(train, "V00_S0005_I00000010_P0008", 6, Fraction(30), [(0.5, 3.5)], vad=[(50.0, 99.0)])
    participant(train, "V00_S0005_I00000010_P0009", 6, Fraction(30), [(4.5, 5.0)], vad=[(3.0, 1.0)])
    participant(train, "V00_S0006_I00000011_P0010", 6, Fraction(30), [first])
    participant(train, "V00_S0006_I00000011_P0011", 6, Fraction(30), [first], sound_seconds=9)
    participant(dev, "V00_S0007_I00000007_P0012", 4, Fraction(30), [(0.5, 3.5)])
    participant(dev, "V00_S0007_I00000007_P0001", 4, Fraction(30), [(3.6, 3.8)])
    pack(train, hub / "train" / "0000" / "0000.tar")
    pack(dev, hub / "dev" / "0000" / "0000.tar")
    whole_tar = (hub / "dev" / "0000" / "0000.tar").read_bytes()
    (hub / "dev" / "0000" / "0001.tar").write_bytes(whole_tar[:700])
    (root / "assets").mkdir()
    (root / "assets" / "interactions.csv").write_text(
        "prompt_hash,prompt_id_unique,ipc_a,ipc_b\n00000007,greetings,1,2\n00000009,other,1,2\n"
    )
    return root


def dualtalk_pair(folder: Path, name: str, talk: Talk, pose: bool = True) -> None:
    """Two seconds of DualTalk's form, the second speaker talking."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        exp = np.arange(50 * 50, dtype=np.float32).reshape(50, 50) / 1e3
        arrays = {"exp": exp, "pose": np.tile(np.arange(6, dtype=np.float32), (50, 1))}
        np.savez(folder / f"{name}_speaker{number}.npz", **(arrays if pose else {"exp": exp}))
        voice(folder / f"{name}_speaker{number}.wav", 2, talk if number == 2 else [], rate=16000)


def _stub_wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(48000)
        sound.writeframes(bytes(14))
    return file.getvalue()


def pack(folder: Path, tar: Path) -> None:
    """A folder's files as a tar."""
    tar.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tar, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)


def plant(person: str, view: faces.View, start: float, num_frames: int, min_seen: float) -> faces.Face:
    """Stands for `faces.measure_face`: the pictures are the video's, the coefficients follow their brightness."""
    shown = [picture.rgb for picture in pictures(view.video, start, num_frames)]
    half = {"": slice(None), "left": slice(0, 16), "right": slice(16, None)}[view.half]
    shown = [rgb[:, half] for rgb in shown]
    light = np.array([rgb.mean() for rgb in shown], np.float32)
    coefficients = np.sin(np.arange(58) + light[:, None] * 0.3).astype(np.float32)
    frames = [jpeg(resize(np.ascontiguousarray(rgb), (256, 256))) for rgb in shown]
    return faces.Face(frames, coefficients, np.linspace(1, 0, len(frames), dtype=np.float32))


@dataclass
class Landmarker:
    """Stands for `face.FaceLandmarker`: `boxes` has left, top, right and bottom of all faces of a picture."""

    boxes: Callable[[np.ndarray], list[list[float]]]

    def __enter__(self) -> "Landmarker":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def landmarks(self, frame: np.ndarray) -> list[np.ndarray]:
        corners = [np.array([[left, top, 0], [right, bottom, 0]]) for left, top, right, bottom in self.boxes(frame)]
        return [np.tile(two, (239, 1)).astype(np.float32) for two in corners]
