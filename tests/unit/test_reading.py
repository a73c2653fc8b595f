"""What people hand in is read without trust: arrays, texts, JSON and tables, or one sentence."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from reactface_jax.array_reading import npy_from_bytes, read_npy, read_npz
from reactface_jax.errors import UserError
from reactface_jax.text_reading import json_from_text, read_text, table_from_text, text_from_bytes


def npy(array: np.ndarray, version: tuple[int, int] = (1, 0), pickled: bool = False) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version, allow_pickle=pickled)
    return file.getvalue()


def with_header(text: str, content: bytes = b"", length: int | None = None) -> bytes:
    return (
        b"\x93NUMPY\x01\x00" + (len(text) if length is None else length).to_bytes(2, "little") + text.encode() + content
    )


class TestNpy:
    @pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
    @pytest.mark.parametrize("shape", [(), (3,), (0, 4), (2, 3, 4)])
    @pytest.mark.parametrize("kind", ["<f4", ">f8", "|b1", "<u2"])
    def test_equals_numpy(self, tmp_path: Path, version: tuple[int, int], shape: tuple[int, ...], kind: str) -> None:
        array = np.asarray(np.random.default_rng(0).normal(size=shape) * 9 + 9).astype(kind)
        for ordered in (array, np.asarray(array, order="F")):
            (tmp_path / "x.npy").write_bytes(npy(ordered, version))
            for mapped in (False, True):
                found = read_npy(tmp_path / "x.npy", mapped=mapped)
                np.testing.assert_array_equal(found, array, strict=True)
                assert found.flags.writeable != isinstance(found, np.memmap)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"404", r"x can't be read as an array of numbers: it is no \.npy file; copy it again"),
            (b"", r"it is no \.npy file"),
            (b"\x93NUMPY\x09\x00" + bytes(90), r"version 9\.0 of \.npy is not known"),
            (b"\x80\x04" + bytes(90), "is a pickle, which is not read, since that could run code"),
            (npy(np.array([{}], object), pickled=True), "is a pickle"),
            (b"PK\x03\x04" + bytes(90), r"holds several arrays \(\.npz\)"),
            (npy(np.zeros(3, "<U2")), "it holds elements of type <U2"),
            (npy(np.zeros(3, "f4,f4")), "holds records"),
            (npy(np.zeros(3))[:-1], "its header says 24 bytes of numbers, but 23 are there"),
            (with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999,), }"), "is cut off"),
            (with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 999999999999999999), }"), "damaged"),
            (with_header("{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 900 + "}"), "damaged"),
            (with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)", bytes(4)), "damaged"),
            (with_header("{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }", bytes(4)), "damaged"),
            (with_header("{'descr': '<f4', 'descr': '<f4', 'shape': (1,), }", bytes(4)), "damaged"),
            (with_header("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }", bytes(4)), "damaged"),
            (with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1;), }", bytes(4)), "damaged"),
            (with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }\x0b", bytes(4)), "damaged"),
            (with_header("{}", length=60000), "damaged"),
            (with_header("{", bytes(4)), "damaged"),
        ],
    )
    def test_of_no_use(self, content: bytes, message: str) -> None:
        with pytest.raises(UserError, match=message):
            npy_from_bytes(content, name="x")

    def test_random_headers(self) -> None:
        """Thousands by benchmarks/attack_raw_tree.py; NumPy's own reader ends in a TokenError for one in thirteen."""
        rng = np.random.default_rng(0)
        good = npy(np.ones((7, 58), np.float32))
        refused = 0
        for _ in range(300):
            content = bytearray(good)
            content[rng.integers(128)] = rng.integers(256)
            content[rng.integers(128)] = rng.choice(list(b"{}()[],:'\" 019LTF<>|#\n"))
            try:
                npy_from_bytes(bytes(content), name="x")
            except UserError:
                refused += 1
        assert 200 < refused < 300

    def test_missing_and_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"^--x nowhere\.npy does not exist; give the others$"):
            read_npy("nowhere.npy", name="--x nowhere.npy", advice="give the others")
        with pytest.raises(UserError, match="is a folder, not a file"):
            read_npy(tmp_path)


class TestNpz:
    def write(self, path: Path, members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
        with zipfile.ZipFile(path, "w", packing) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path

    def test_equals_numpy(self, tmp_path: Path) -> None:
        np.savez_compressed(tmp_path / "x.npz", a=np.arange(5), names=np.array(["jawOpen", "é"]))
        found = read_npz(tmp_path / "x.npz", most_bytes=1000)
        np.testing.assert_array_equal(found["a"], np.arange(5))
        assert found["names"].tolist() == ["jawOpen", "é"]

    def test_unpacks_to_more_than_expected(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "x.npz", {"a.npy": npy(np.zeros(10**6, np.float32))})
        assert path.stat().st_size < 10_000
        with pytest.raises(UserError, match=r"x\.npz would unpack to 4 MB, more than the 1 MB expected"):
            read_npz(path, most_bytes=10**6)

    def test_damaged(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "x.npz", {"a.npy": npy(np.arange(500.0))})
        content = path.read_bytes()
        for place in (0, 40, 200, len(content) - 30):
            broken = bytearray(content)
            broken[place : place + 8] = b"\xff" * 8
            path.write_bytes(broken)
            with pytest.raises(UserError, match=r"x\.npz is no \.npz file, or damaged; copy it again"):
                read_npz(path, most_bytes=10**6)
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(UserError, match="or damaged"):
            read_npz(path, most_bytes=10**6)

    @pytest.mark.parametrize(
        ("members", "message"),
        [
            ({"a.txt": b"x"}, r"is no \.npz file"),
            ({"a.npy": b"x"}, r"holds an array 'a' that is of no use: it can't be read"),
            ({"a.npy": npy(np.array([{}], object), pickled=True)}, "'a' that is of no use: it is a pickle"),
        ],
    )
    def test_of_no_use(self, tmp_path: Path, members: dict[str, bytes], message: str) -> None:
        with pytest.raises(UserError, match=message):
            read_npz(self.write(tmp_path / "x.npz", members), most_bytes=10**6)

    def test_packed_otherwise(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "x.npz", {"a.npy": npy(np.arange(3))}, zipfile.ZIP_LZMA)
        with pytest.raises(UserError, match="packed in a way that NumPy does not use"):
            read_npz(path, most_bytes=10**6)


class TestText:
    def test_byte_order_mark(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"\xef\xbb\xbf\xc3\xa9")
        assert read_text(tmp_path / "x") == "é"

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"ab\xe9", r"x is no text in UTF-8 \(byte 2 is 0xe9\); save it as UTF-8"), (b"\xff\xfea\0", "it is UTF-16")],
    )
    def test_of_another_encoding(self, content: bytes, message: str) -> None:
        with pytest.raises(UserError, match=message):
            text_from_bytes(content, name="x")

    def test_missing_and_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="nowhere does not exist"):
            read_text(tmp_path / "nowhere")
        with pytest.raises(UserError, match="is a folder, not a file"):
            read_text(tmp_path)

    def test_json(self) -> None:
        assert json_from_text('{"a": [1.5]}', name="x", advice="") == {"a": [1.5]}
        with pytest.raises(UserError, match="x is JSON that is nested too deep to be read; write it anew"):
            json_from_text("[" * 200_000, name="x", advice="write it anew")
        for text in ("{", "1" * 5000):
            with pytest.raises(UserError, match="x is not JSON"):
                json_from_text(text, name="x", advice="write it anew")


class TestTable:
    def test_rows_by_name(self) -> None:
        names, rows = table_from_text('b , a\n1,"x, y"\n\n2\n3,4,\n', ["a"], name="x")
        assert names == ["b", "a"]
        assert rows == [{"b": "1", "a": "x, y"}, {"b": "2", "a": ""}, {"b": "3", "a": "4"}]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "x has no column a; its header must name a"),
            ("a;b\n1;2\n", "x has semicolons between its cells, not commas; save it as csv with commas"),
            ("a\tb\n1\t2\n", "x has tabs between its cells"),
            ("a,b\n1,2,3\n", "x, row 0, has more cells than the first line has names"),
            ("a,a\n1,2\n", "x has the column a 2 times"),
            ("a,b\n" + "1" * 200_000, "x is not a csv file"),
        ],
    )
    def test_of_no_use(self, text: str, message: str) -> None:
        with pytest.raises(UserError, match=message):
            table_from_text(text, ["a"], name="x")
