"""Reactions written for avatars are read back, number by number."""

import csv
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reactface_jax.export.__main__ import main
from reactface_jax.export.motion import NAMES_FILE, motion
from reactface_jax.export.text_formats import LIVE_LINK_WEIGHTS
from reactface_jax.extraction.coefficient_names import POSE_NAMES
from reactface_jax.rendering.arkit_head.look import Look
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES, PIVOT, head_mesh
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, HeadRenderer, rotation_matrix

FRAMES = 30
DATA_NAMES = ARKIT_NAMES[::-1]  # another order than ours


@pytest.fixture(name="coefficients")
def _coefficients() -> np.ndarray:
    """Two reactions: weights that leave [0, 1] here and there, turns and shifts."""
    rng = np.random.default_rng(0)
    array = np.tile(NEUTRAL, (2, FRAMES, 1))
    array[..., :52] = rng.uniform(-0.1, 1.1, (2, FRAMES, 52))
    array[..., 52:] += rng.uniform(-0.3, 0.3, (2, FRAMES, 6))
    return array.astype(np.float32)


@pytest.fixture(name="reactions")
def _reactions(tmp_path: Path, coefficients: np.ndarray) -> Path:
    np.save(tmp_path / "answer.npy", coefficients)
    (tmp_path / NAMES_FILE).write_text(json.dumps(DATA_NAMES))
    return tmp_path / "answer.npy"


def export(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", ["export", *map(str, words)])
    main()


def weights_by_name(coefficients: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.clip(coefficients[:, i], 0, 1) for i, name in enumerate(DATA_NAMES)}


def test_live_link_csv(reactions: Path, coefficients: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    export(monkeypatch, reactions, "--format", "livelink-csv")
    first, second = (reactions.with_name(f"answer_{k}.csv") for k in (1, 2))
    assert second.is_file()
    with first.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == FRAMES
    header = list(rows[0])
    assert header[:4] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft", "EyeLookDownLeft"]
    assert header[-9:-6] == ["HeadYaw", "HeadPitch", "HeadRoll"]
    assert len(header) == 2 + 61
    assert {row["BlendShapeCount"] for row in rows} == {"61"}
    # As Unreal's importer reads it: seconds and sixtieths.
    assert [rows[i]["Timecode"] for i in (0, 1, 24, 25)] == [
        "00:00:00:00.000",
        "00:00:00:02.400",
        "00:00:00:57.600",
        "00:00:01:00.000",
    ]
    fields = [row["Timecode"].split(":") for row in rows]
    moments = [60 * int(minutes) + int(seconds) + float(part) / 60 for _, minutes, seconds, part in fields]
    np.testing.assert_allclose(moments, np.arange(FRAMES) / 25, atol=1e-4)
    expected = weights_by_name(coefficients[0])
    for column in LIVE_LINK_WEIGHTS:
        values = [float(row[column]) for row in rows]
        np.testing.assert_allclose(values, expected[column[0].lower() + column[1:]], atol=1e-7)
    yaw, pitch, roll = ([float(row[f"Head{angle}"]) for row in rows] for angle in ("Yaw", "Pitch", "Roll"))
    np.testing.assert_allclose(pitch, coefficients[0, :, 52] - np.pi, atol=1e-6)  # more about x is a nod: down
    np.testing.assert_allclose(yaw, coefficients[0, :, 53], atol=1e-6)  # to the picture's left: the person's right
    np.testing.assert_allclose(roll, -coefficients[0, :, 54], atol=1e-6)
    assert {row[f"{side}Eye{angle}"] for row in rows for side in ("Left", "Right") for angle in ("Yaw", "Pitch")} == {
        "0.00000000"
    }


def test_json_by_name(reactions: Path, coefficients: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    out = reactions.with_name("mine.json")
    export(monkeypatch, reactions, "--format", "json", "--out", out, "--reaction", 2)
    content = json.loads(out.read_text())
    assert content["frameRate"] == 25
    assert [frame["time"] for frame in content["frames"][:3]] == [0, 0.04, 0.08]
    expected = weights_by_name(coefficients[1])
    assert content["frames"][0]["weights"].keys() == set(ARKIT_NAMES)
    for name, values in expected.items():
        got = [frame["weights"][name] for frame in content["frames"]]
        np.testing.assert_allclose(got, values, atol=1e-6)
    places = [frame["headTranslation"] for frame in content["frames"]]
    np.testing.assert_allclose(places, place_of_head(coefficients[1]), atol=1e-6)
    for i in (0, 7, 29):  # about x, then y, then z
        x, y, z = content["frames"][i]["headRotation"]
        turn = about(2, z) @ about(1, y) @ about(0, x)
        np.testing.assert_allclose(turn, turn_of_head(coefficients[1, i, 52:55]), atol=1e-5)


def test_bvh(reactions: Path, coefficients: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    export(monkeypatch, reactions, "--format", "bvh-head", "--reaction", 1)
    lines = reactions.with_suffix(".bvh").read_text().splitlines()
    start = lines.index("MOTION")
    assert lines[start + 1 : start + 3] == [f"Frames: {FRAMES}", "Frame Time: 0.040000"]
    rows = np.array([line.split() for line in lines[start + 3 :]], float)
    assert rows.shape == (FRAMES, 6)
    np.testing.assert_allclose(rows[:, :3], 100 * place_of_head(coefficients[0]), atol=2e-5)  # centimetres
    z, y, x = np.radians(rows[:, 3:]).T
    for i in (0, 7, 29):  # the channels are applied from the last to the first
        turn = about(2, z[i]) @ about(1, y[i]) @ about(0, x[i])
        np.testing.assert_allclose(turn, turn_of_head(coefficients[0, i, 52:55]), atol=1e-5)


def place_of_head(coefficients: np.ndarray) -> np.ndarray:
    """Metres to the person's left, up and forwards of a head at rest, as `Glb` moves it."""
    return 0.1 / Look().scale * (coefficients[:, 55:] - NEUTRAL[55:]) * [1, -1, -1]


def about(axis: int, angle: float) -> np.ndarray:
    matrix = np.eye(3)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix[[a, b], [a, b]] = np.cos(angle)
    matrix[b, a], matrix[a, b] = np.sin(angle), -np.sin(angle)
    return matrix


def turn_of_head(angles: np.ndarray) -> np.ndarray:
    """The drawn head's turn, from the camera's axes to x left, y up, z forwards; on the left of columns."""
    rest = rotation_matrix(NEUTRAL[52:55])
    return (rotation_matrix(angles) @ rest.T).T


class Glb:
    """What a viewer does with the file: unpack, morph, skin."""

    def __init__(self, content: bytes):
        magic, version, total = struct.unpack("<4sII", content[:12])
        assert (magic, version, total) == (b"glTF", 2, len(content))
        (length,) = struct.unpack("<I", content[12:16])
        self.json = json.loads(content[20 : 20 + length])
        self.binary = content[28 + length :]

    def array(self, index: int) -> np.ndarray:
        accessor = self.json["accessors"][index]
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor["type"]]
        count, kind = accessor["count"], accessor["componentType"]
        if "bufferView" in accessor:
            return self._viewed(accessor["bufferView"], kind, count * width).reshape(count, width)
        array = np.zeros((count, width), np.float32)
        if sparse := accessor.get("sparse"):
            where = self._viewed(sparse["indices"]["bufferView"], sparse["indices"]["componentType"], sparse["count"])
            assert (np.diff(where.astype(int)) > 0).all()
            values = self._viewed(sparse["values"]["bufferView"], kind, sparse["count"] * width)
            array[where] = values.reshape(-1, width)
        np.testing.assert_array_equal([array.min(0), array.max(0)], np.float32([accessor["min"], accessor["max"]]))
        return array

    def _viewed(self, view: int, component: int, count: int) -> np.ndarray:
        kind = {5126: np.float32, 5121: np.uint8, 5123: np.uint16}[component]
        return np.frombuffer(self.binary, kind, count, self.json["bufferViews"][view]["byteOffset"])

    def animated(self, path: str) -> np.ndarray:
        (animation,) = self.json["animations"]
        (channel,) = [c for c in animation["channels"] if c["target"]["path"] == path]
        return self.array(animation["samplers"][channel["sampler"]]["output"])

    def vertices(self, frame: int) -> np.ndarray:
        """In metres."""
        (primitive,) = self.json["meshes"][0]["primitives"]
        weights = self.animated("weights").reshape(-1, 52)[frame]
        vertices = self.array(primitive["attributes"]["POSITION"]).astype(float)
        for weight, target in zip(weights, primitive["targets"], strict=True):
            vertices += weight * self.array(target["POSITION"])
        x, y, z, w = self.animated("rotation")[frame].astype(float)
        turn = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        pivot = np.array(self.json["nodes"][2]["translation"])
        joints = self.array(primitive["attributes"]["JOINTS_0"])
        share = np.where(joints == 1, self.array(primitive["attributes"]["WEIGHTS_0"]), 0).sum(1, keepdims=True)
        turned = (vertices - pivot) @ turn.T + pivot
        return vertices + share * (turned - vertices) + self.animated("translation")[frame]


def test_gltf_moves_as_the_drawn_head(
    reactions: Path, coefficients: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(monkeypatch, reactions, "--format", "glb", "--reaction", 1)
    file = Glb(reactions.with_suffix(".glb").read_bytes())
    assert file.json["meshes"][0]["extras"]["targetNames"] == list(ARKIT_NAMES)
    assert len(file.binary) < 2.5 * 2**20  # the targets are mostly zeros, which are not stored
    normals = file.array(file.json["meshes"][0]["primitives"][0]["targets"][25]["NORMAL"])
    np.testing.assert_allclose(normals, head_mesh().normal_deltas[25], atol=1e-7)
    clock = file.json["animations"][0]["samplers"][0]["input"]
    np.testing.assert_allclose(file.array(clock)[:, 0], np.arange(FRAMES) / 25, atol=1e-6)

    look = Look()
    renderer = HeadRenderer((32, 32), look, names=DATA_NAMES)
    still = head_mesh().vertices
    for i in (0, 11):
        frame = coefficients[0, i].copy()
        frame[:52] = np.clip(frame[:52], 0, 1)
        drawn = renderer.pose(frame)[0] - (renderer.pose(NEUTRAL)[0] - look.scale * (still - PIVOT) * [1, -1, -1])
        expected = 0.1 * (drawn / look.scale * [1, -1, -1] + PIVOT)  # the camera's axes to the avatar's, metres
        # On the neck, shapes are blended a little differently: less than a millimetre.
        neck = ((head_mesh().follows > 0) & (head_mesh().follows < 1))[:, 0]
        difference = np.abs(file.vertices(i) - expected).max(axis=1)
        assert difference[~neck].max() < 2e-5
        assert difference[neck].max() < 1e-3
    renderer.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer.npy": None}, "answer.npy does not exist"),
        ({"answer.npy": b"hello"}, "can't be read as an array of numbers"),
        ({"answer.npy": np.zeros((3, 57))}, "has shape [3, 57]"),
        ({"answer.npy": np.zeros((0, 58))}, "holds no frame"),
        ({"answer.npy": np.full((2, 58), np.nan)}, "NaN or infinite"),
        ({"answer.npy": np.full((2, 58), 1e300)}, "NaN or infinite values in float32"),
        ({NAMES_FILE: None}, f"there is no {NAMES_FILE} beside"),
        ({NAMES_FILE: b"{"}, "is not JSON"),
        ({NAMES_FILE: b"[]"}, "must be a list of 52 or 58 names"),
        ({NAMES_FILE: json.dumps([f"expression_{i:02}" for i in range(52)]).encode()}, "need the 52 ARKit names"),
        ({"--names": "nowhere.json"}, "--names nowhere.json does not exist"),
        ({"answer.npy": b"\x93NUMPY\x01\x00\x10\x00{'descr': random!"}, "its header is damaged"),
        ({NAMES_FILE: b"[" * 200_000}, "nested too deep"),
        ({NAMES_FILE: b"\xff\xfe["}, "no text in UTF-8"),
        ({"answer.csv": b"mine"}, "answer.csv already exists; give --overwrite"),
        ({"--out": "taken.csv", "--reaction": 1}, "taken.csv is a folder"),
        ({"--out": "answer.npy/x.csv"}, "lies below the file answer.npy"),
        ({"--reaction": 3}, "--reaction 3: "),
        ({"--out": "answer.txt"}, "must end in .csv"),
        ({"--out": "nowhere/answer.csv"}, "folder nowhere does not exist"),
        ({"REACTIONS": "."}, ". is a folder"),
        ({"REACTIONS": "typo/answer.npy"}, "typo/answer.npy does not exist; give the .npy"),
    ],
)
def test_bad_input_gets_a_sentence(
    change: dict[str, Any],
    message: str,
    reactions: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(reactions.parent)
    change = dict(change)
    words: list[object] = [change.pop("REACTIONS", "answer.npy"), "--format", "livelink-csv"]
    for name, content in change.items():
        if name.startswith("--"):
            words += [name, content]
        elif content is None:
            Path(name).unlink()
        elif isinstance(content, bytes):
            words += ["--reaction", 1] if name == "answer.csv" else []
            Path(name).write_bytes(content)
        else:
            np.save(name, content)
    Path("taken.csv").mkdir()
    before = {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}
    with pytest.raises(SystemExit) as ended:
        export(monkeypatch, *words)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")} == before


def test_what_is_read_is_never_overwritten(
    reactions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = reactions.with_name("names.json")
    names.write_bytes(reactions.with_name(NAMES_FILE).read_bytes())
    words = [reactions, "--format", "json", "--reaction", 1, "--names", names, "--out", names]
    with pytest.raises(SystemExit):
        export(monkeypatch, *words, "--overwrite")
    assert "names.json is --names, and would be overwritten" in capsys.readouterr().err
    beside = reactions.with_name(NAMES_FILE)  # which is read where no --names is given
    with pytest.raises(SystemExit):
        export(monkeypatch, reactions, "--format", "json", "--reaction", 1, "--out", beside, "--overwrite")
    assert f"{NAMES_FILE} is --names, and would be overwritten" in capsys.readouterr().err
    out = reactions.with_name("out.json")
    out.write_text("old")
    export(monkeypatch, *words[:-1], out, "--overwrite")
    assert json.loads(out.read_text())
    assert json.loads(names.read_text())


@pytest.mark.parametrize("seed", [None, 0])
def test_all_58_names_may_stand_in_any_order(coefficients: np.ndarray, seed: int | None) -> None:
    names = [*ARKIT_NAMES, *POSE_NAMES]
    order = np.arange(58)
    if seed is None:  # translation before rotation
        order[52:] = [55, 56, 57, 52, 53, 54]
    else:
        np.random.default_rng(seed).shuffle(order)
    expected = motion(coefficients[0], names)
    got = motion(coefficients[0][:, order], [names[i] for i in order])
    for field in ("weights", "turn", "shift"):
        np.testing.assert_array_equal(getattr(got, field), getattr(expected, field))
    np.testing.assert_array_equal(motion(coefficients[0], ARKIT_NAMES).turn, expected.turn)
    other = [*ARKIT_NAMES, "pitch", "yaw", "roll", "x", "y", "z"]
    np.testing.assert_array_equal(motion(coefficients[0], other).shift, expected.shift)


def test_a_whole_turn_is_no_turn() -> None:
    """Rotations near -pi and near pi are the same face."""
    frame = NEUTRAL.copy()[None]
    frame[0, 52] = -np.pi + 0.01
    assert motion(frame, ARKIT_NAMES).turn[0] == pytest.approx([0.01, 0, 0], abs=1e-5)
    assert motion(frame, ARKIT_NAMES).weights[0, ARKIT_NAMES.index("jawOpen")] == 0
