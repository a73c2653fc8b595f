"""The code's imports, held against the floors of docs/architecture.md."""

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
DRAWING = runpy.run_path(str(ROOT / "docs" / "draw_floors.py"))
FLOORS: dict[str, tuple[int, str]] = DRAWING["read_floors"](PAGE.read_text())

PACKAGES = ("reactface_jax", "data_pipeline", "benchmarks", "configs")
CODE = sorted([*ROOT.glob("*.py"), *(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))])
EVERYTHING = [*CODE, *sorted((ROOT / "tests").rglob("*.py"))]
MOST_LINES = 400
NAMES_THAT_SAY_NOTHING = {"common", "helper", "helpers", "misc", "util", "utils"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in CODE}


def imported(path: Path) -> Iterator[str]:
    """Full names of what a file imports, wherever in it the import stands."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relative to {package}; write the whole name"
            assert node.module is not None
            for name in node.names:
                full = f"{node.module}.{name.name}"
                yield full if full in MODULES else node.module


def files_imported(path: Path) -> set[Path]:
    """Files of this project that a file imports; `from package import name` counts for the package's own file."""
    return {MODULES[name] for name in imported(path) if name in MODULES} - {path}


def room_of(path: Path) -> str:
    """The table's row of a file: its own, or that of the folder that it is in."""
    relative = path.relative_to(ROOT)
    rows = [str(relative), *(f"{parent}/" for parent in relative.parents)]
    found = next((row for row in rows if row in FLOORS), None)
    assert found is not None, f"{relative} has no floor; give it a row in docs/architecture.md"
    return found


def test_every_row_of_the_table_exists() -> None:
    assert len(FLOORS) > 20
    for room in FLOORS:
        path = ROOT / room
        assert path.is_dir() if room.endswith("/") else path.is_file(), f"docs/architecture.md: {room} is not there"


def test_imports_go_down() -> None:
    floor_of = {path: FLOORS[room_of(path)][0] for path in CODE}
    wrong = [
        f"{path.relative_to(ROOT)} (floor {floor_of[path]}) imports {other.relative_to(ROOT)} (floor {floor_of[other]})"
        for path in CODE
        for other in sorted(files_imported(path))
        if room_of(other) != room_of(path) and floor_of[other] >= floor_of[path]
    ]
    assert not wrong, "imports go down, never up or sideways"


def test_no_files_import_each_other_in_a_circle() -> None:
    arrows = {path: files_imported(path) for path in CODE}
    while free := [path for path, others in arrows.items() if not others & arrows.keys()]:
        for path in free:
            del arrows[path]
    # What is left imports something that is left: a circle, and what stands above it.
    in_circle = sorted(str(path.relative_to(ROOT)) for path in arrows)
    assert not in_circle, f"in a circle of imports, or above one: {in_circle}"


def of(folder: str) -> list[Path]:
    return [path for path in CODE if path.is_relative_to(ROOT / folder)]


def users(packages: tuple[str, ...], files: list[Path]) -> set[str]:
    """Files that import one of the packages."""
    return {
        str(path.relative_to(ROOT))
        for path in files
        if any(name == package or name.startswith(f"{package}.") for name in imported(path) for package in packages)
    }


def test_tensorflow_stays_in_the_data_pipeline() -> None:
    tensorflow = ("tensorflow", "tensorflow_datasets")
    assert users(tensorflow, of("data_pipeline")), "nothing imports TensorFlow: this test reads no imports"
    assert not users(tensorflow, of("reactface_jax"))


def test_pytorch_stays_in_the_conversion() -> None:
    pytorch = ("torch", "transformers")
    conversion = users(pytorch, of("reactface_jax/convert"))
    assert conversion, "nothing imports PyTorch: this test reads no imports"
    assert users(pytorch, CODE) == conversion


def test_the_data_pipeline_imports_no_network() -> None:
    networks = ("reactface_jax.models", "reactface_jax.methods", "reactface_jax.online", "reactface_jax.training")
    assert users(networks, of("reactface_jax/evaluation")), "nothing imports a network: this test reads no imports"
    assert not users((*networks, "flax", "optax"), of("data_pipeline"))


def test_files_are_short_and_their_names_say_what_is_in_them() -> None:
    long = {str(path.relative_to(ROOT)) for path in EVERYTHING if len(path.read_text().splitlines()) >= MOST_LINES}
    assert not long, f"{MOST_LINES} lines or more; one concept a file, so split them"
    assert not {str(path) for path in EVERYTHING if path.stem in NAMES_THAT_SAY_NOTHING}


def test_the_page_names_files_that_exist() -> None:
    for name in PAGE.read_text().split("`")[1::2]:
        if "/" in name and " " not in name:
            assert (ROOT / name).exists(), f"docs/architecture.md names {name}"


def test_all_pages_name_files_that_exist() -> None:
    """A name may leave out the package, and the folder that its page is about."""
    folders = {ROOT, *(path.parent for path in EVERYTHING)}
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    named = [(page.name, name) for page in pages for name in re.findall(r"`([\w./-]+\.py)`", page.read_text())]
    assert len(named) > 50
    missing = {pair for pair in named if not any((folder / pair[1]).is_file() for folder in folders)}
    assert not missing


def test_the_picture_is_the_table() -> None:
    picture = (ROOT / "docs" / "images" / "floors.svg").read_text()
    assert picture == DRAWING["draw"](FLOORS), "run python docs/draw_floors.py"


def test_an_import_is_found_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of imports sees those at the top, in functions, and of a package's submodules."""
    file = tmp_path / "some.py"
    file.write_text(
        "import jax.numpy as jnp\nfrom reactface_jax.ops import linear\nfrom reactface_jax.models import ReactFace\n"
        "def f():\n    from tensorflow import data\n"
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert set(imported(file)) == {"jax.numpy", "reactface_jax.ops.linear", "reactface_jax.models", "tensorflow"}
