"""A made file of FaceVerse's form is converted without running code, and drawn with its conventions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reactface_jax.convert import __main__ as command
from reactface_jax.errors import UserError
from reactface_jax.rendering import faceverse
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL
from reactface_jax.rendering.faceverse import FaceVerseRenderer, convert_faceverse, load_faceverse

NAMES = [f"shape{i}" for i in range(52)]
SIDE = 9


def made_model() -> dict[str, Any]:
    """A square plate of 9x9 vertices that faces +z; expression 3 raises its upper half."""
    y, x = np.mgrid[1:-1:9j, -1:1:9j] * 0.6
    shape = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3)
    corner = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]))
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    expression, identity = np.zeros((len(shape), 3, 52)), np.zeros((len(shape), 3, 150))
    expression[shape[:, 1] > 0, 1, 3] = 0.3
    identity[:, 0, 0] = 0.2 * shape[:, 0]  # breadth
    return {
        "meanshape": shape.reshape(1, -1).astype(np.float32),
        "meantex": np.full((1, shape.size), 128.0, np.float32),
        "idBase": identity.reshape(-1, 150).astype(np.float32),
        "exBase": expression.reshape(-1, 52).astype(np.float32),
        "texBase": np.zeros((shape.size, 251), np.float32),
        "tri": triangles.astype(np.int32),
        "point_buf": np.zeros((len(shape), 8), np.int32),
        "keypoints": np.zeros(68, np.int32),
        "skinmask": np.ones(len(shape), bool),
        "exp_name_list": NAMES,
    }


def simplified(model: dict[str, Any]) -> dict[str, Any]:
    """The same with a `_select` form: every second vertex of both directions."""
    chosen = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)[::2, ::2].ravel()
    small = np.arange(25).reshape(5, 5)
    a, b, c, d = (part.ravel() for part in (small[:-1, :-1], small[:-1, 1:], small[1:, :-1], small[1:, 1:]))
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    select = {
        "meanshape_select": model["meanshape"].reshape(-1, 3)[chosen].reshape(1, -1),
        "exBase_select": model["exBase"].reshape(-1, 3, 52)[chosen].reshape(-1, 52),
    }
    return model | select | {"tri_select": triangles, "select_id": chosen}  # idBase only whole


def save(path: Path, model: Any) -> Path:
    np.save(path, model, allow_pickle=True)
    return path


def test_both_forms_convert(tmp_path: Path) -> None:
    model = made_model()
    whole = convert_faceverse(save(tmp_path / "a.npy", model), tmp_path / "a.npz", trust_pickle=True)
    assert whole.vertices.shape == (81, 3)
    np.testing.assert_array_equal(whole.identity_directions[7], model["idBase"].reshape(-1, 3, 150)[7])
    np.save(tmp_path / "me.npy", np.arange(257.0))
    small = convert_faceverse(
        save(tmp_path / "b.npy", simplified(model)),
        tmp_path / "b.npz",
        trust_pickle=True,
        identity=tmp_path / "me.npy",
    )
    assert small.vertices.shape == (25, 3)
    np.testing.assert_array_equal(small.identity_directions[1], whole.identity_directions[2])
    np.testing.assert_array_equal(small.identity, np.arange(150))
    again = load_faceverse(tmp_path / "b.npz")
    assert again.names == tuple(NAMES)
    expression = np.eye(52, dtype=np.float32)[3]
    expected = small.vertices + small.identity_directions @ small.identity + small.expression_directions[..., 3]
    np.testing.assert_allclose(again.face(expression), expected, atol=1e-6)


def test_pictures_have_faceverses_conventions(tmp_path: Path) -> None:
    model = convert_faceverse(save(tmp_path / "a.npy", made_model()), tmp_path / "a.npz", trust_pickle=True)
    renderer = FaceVerseRenderer(model)
    picture = renderer.render(NEUTRAL)
    with pytest.raises(UserError, match=r"a picture needs 58 coefficients, got shape \(57,\)"):
        renderer.render(NEUTRAL[:57])
    assert picture.shape == (224, 224, 3)
    assert (picture[0, 0] == 0).all()
    assert picture[112, 112] == pytest.approx([200 * 1.05] * 3, abs=12)  # ambient and diffuse, seen from the front
    # 1.2 across at 10 + 1.84 away, focal length 1315 pixels.
    lit = picture[112, :, 0] > 50
    assert lit.sum() == pytest.approx(1.2 / 11.84 * 1315, abs=2)

    def rows(**changes: float) -> np.ndarray:
        coefficients = NEUTRAL.copy()
        for index, value in changes.items():
            coefficients[int(index[1:])] += value
        return np.flatnonzero(renderer.render(coefficients)[:, 112, 0] > 50)

    rest = rows()
    raised = rows(_3=1.0)
    assert raised[0] < rest[0] - 20  # the forehead goes up in the picture
    assert raised[-1] == rest[-1]
    assert rows(_56=0.2).mean() == pytest.approx(rest.mean() + 0.2 / 11.84 * 1315, abs=2)  # translation y is down
    assert len(rows(_57=2.0)) < len(rest) - 10  # z is away
    renderer.close()


class Code:
    def __reduce__(self) -> tuple:
        return print, ("code in a model has run",)


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (made_model, [], "add --trust-pickle"),
        (None, ["--trust-pickle"], "does not exist"),
        (b"hello", ["--trust-pickle"], "is no .npy file"),
        (lambda: np.zeros(3), ["--trust-pickle"], "holds an array of numbers"),
        (lambda: {"meanshape": Code()}, ["--trust-pickle"], "holds more than arrays (builtins.print)"),
        (lambda: {"some": "thing"}, ["--trust-pickle"], "it has no 'meanshape'"),
        (lambda: made_model() | {"exp_name_list": NAMES[1:]}, ["--trust-pickle"], "has 51 names"),
        (lambda: made_model() | {"exBase": np.zeros((3, 52))}, ["--trust-pickle"], "different numbers of vertices"),
        (lambda: made_model() | {"tri": np.full((2, 3), 81)}, ["--trust-pickle"], "name vertex 81"),
        (lambda: made_model() | {"tri": np.zeros((0, 3))}, ["--trust-pickle"], "has no triangles"),
        (
            lambda: made_model() | {"tri_select": np.zeros((1, 3))},
            ["--trust-pickle"],
            "has tri_select and no select_id",
        ),
        (lambda: made_model() | {"select_id": np.array([999])}, ["--trust-pickle"], "that meanshape does not have"),
        (made_model, ["--trust-pickle", "--identity", "short.npy"], "holds 3 numbers"),
    ],
)
def test_wrong_files_get_a_sentence(
    content: Any,
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("short.npy", np.zeros(3))
    if isinstance(content, bytes):
        Path("model.npy").write_bytes(content)
    elif content is not None:
        save(Path("model.npy"), content())
    monkeypatch.setattr("sys.argv", ["convert", "faceverse", "model.npy", "--out", "out.npz", *words])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    printed = capsys.readouterr()
    (line,) = printed.err.strip().splitlines()
    assert message in line
    assert printed.out == ""
    assert not list(Path().glob("*out.npz*"))


def test_a_file_that_is_there_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("model.npy"), made_model())
    Path("out.npz").write_text("mine")
    with pytest.raises(SystemExit):
        command.main(["faceverse", "model.npy", "--out", "out.npz", "--trust-pickle"])
    assert capsys.readouterr().err == "error: out.npz already exists; remove it, or give another --out\n"
    assert Path("out.npz").read_text() == "mine"
    with pytest.raises(UserError, match="folder nowhere does not exist; create it"):
        convert_faceverse(Path("model.npy"), Path("nowhere/out.npz"), trust_pickle=True)


def test_what_is_no_converted_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"is no \.npz file, or damaged; give the \.npz that"):
        load_faceverse(save(tmp_path / "model.npy", made_model()))
    np.savez(tmp_path / "other.npz", vertices=np.zeros(3))
    with pytest.raises(UserError, match="is no converted FaceVerse model"):
        load_faceverse(tmp_path / "other.npz")
    monkeypatch.setattr(faceverse, "_MOST_BYTES", 1_000_000)
    np.savez_compressed(tmp_path / "bomb.npz", vertices=np.zeros(500_000))
    with pytest.raises(UserError, match="would unpack to 4 MB, more than the 1 MB expected"):
        load_faceverse(tmp_path / "bomb.npz")
    with pytest.raises(UserError, match="does not exist"):
        load_faceverse(tmp_path / "model.npz")
