"""`reactface`: its commands by name from any folder, and what it imports; the wheel's content."""

import ast
import importlib
import inspect
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from reactface_jax.commands.main import main, missing_extra
from reactface_jax.commands.table import COMMANDS
from reactface_jax.config import Config, load_config
from reactface_jax.config_files import find_config
from reactface_jax.errors import UserError

ROOT = Path(__file__).parents[2]


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert not stop.value.code
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    return printed.err


def python(code: str, folder: Path) -> str:
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    words = [sys.executable, "-c", path + code]
    return subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_help_names_every_command_and_imports_neither_jax_nor_tensorflow(tmp_path):
    code = (
        "from reactface_jax.commands.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "main(['--version'])\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    *help_text, version, modules = python(code, tmp_path).splitlines()
    for name, command in COMMANDS.items():
        assert any(name in line and command.summary in line for line in help_text)
    assert "reactface-jax 0." in version
    assert ", jax 0." in version
    assert not {"jax", "flax", "tensorflow", "torch", "numpy"} & set(modules.split())


def test_a_command_that_is_not_there_is_answered_with_the_nearest(capsys):
    assert "`reactface trian` is no command; did you mean train?" in refused(capsys, "trian")
    assert "`reactface prepare shard` is no command; did you mean shards?" in refused(capsys, "prepare", "shard")
    assert "--format liv does not fit: give livelink-csv, json" in refused(capsys, "export", "a", "--format", "liv")
    assert "needs a shell: bash, zsh" in refused(capsys, "completion", "powershell")


def test_help_of_train_shows_the_fields_of_the_configuration_that_is_given(capsys):
    renderer = shown(capsys, "train", "--config", "pirender_small", "--help")
    assert "--train.warp-steps INT" in renderer
    assert "(default: 300)" in renderer
    assert "--model.feature-dim" not in renderer
    model = shown(capsys, "train", "--help")
    assert "--model.sync-order {speech_first,face_first}" in model
    assert "--train.warp-steps" not in model
    assert "--workdir" in model


FLAGS = [command for command in COMMANDS.values() if command.call == "Arguments"]


@pytest.mark.parametrize("command", FLAGS, ids=[command.module for command in FLAGS])
def test_a_field_is_explained_in_one_line(command):
    """`--help` breaks the line where a field's documentation does, whatever the terminal's width."""
    arguments = getattr(importlib.import_module(command.module), command.call)
    (definition,) = ast.parse(inspect.getsource(arguments)).body
    assert isinstance(definition, ast.ClassDef)
    texts = [each.value.value for each in definition.body[1:] if isinstance(each, ast.Expr)]
    assert texts
    assert not [text for text in texts if "\n" in text]


def test_help_breaks_lines_at_the_terminals_width_only(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = shown(capsys, "react", "--help")
    assert "the folder of a converted checkpoint; the listener that comes with the package if not given." in text
    assert "--renderer pirender \\\n        --renderer-weights" in text
    assert "or of an evaluation, whose reactions are drawn (its GT is" in shown(capsys, "study", "build", "--help")


def test_mistakes_on_the_command_line_of_train(capsys, tmp_path):
    words = ["train", "--config", "tiny", "--workdir", str(tmp_path)]
    assert "--train.steps many does not fit: give a whole number" in refused(capsys, *words, "--train.steps", "many")
    assert "did you mean --train.steps?" in refused(capsys, *words, "--train.stepps", "1")
    assert "did you mean --train.clips?" in refused(
        capsys, "train", "--config", "pirender_small", "--train.clip", "1", "--workdir", str(tmp_path)
    )
    assert "--cofnig is no flag of `reactface train`" in refused(capsys, "train", "--cofnig", "tiny")
    assert "--config is missing; give a name such as demo" in refused(capsys, "train", "--workdir", "x")
    assert "did you mean --train.batch-size or --eval.batch-size?" in refused(capsys, *words, "--batch-size", "4")
    assert "--raw is missing; give the tree's folder" in refused(capsys, "prepare", "shards", "--out", "x")
    assert "me.mp4 does not fit: a flag must stand before it, such as --speaker" in refused(capsys, "react", "me.mp4")
    assert "--overwrite is no flag of `reactface dyads`; see `reactface dyads --help`" in refused(
        capsys, "dyads", "--overwrite"
    )
    assert "--workdir is missing" in refused(capsys, "train", "--config", "tiny")
    assert "--data.dir is missing" in refused(capsys, *words)
    assert "--dry-run is for trainings of ReactFace" in refused(
        capsys, "train", "--config", "pirender", "--dry-run", "--data.dir", "x"
    )


def test_an_interrupted_command_ends_with_one_line(capsys, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reactface_jax.export.__main__.read_reactions", interrupted)
    with pytest.raises(SystemExit) as stop:
        main(["export", "answer.npy", "--format", "json"])
    assert stop.value.code == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from reactface_jax.commands.main import main; main(['--help'])"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert program.stdout is not None
    program.stdout.close()  # as `| head` does
    assert program.stderr is not None
    assert program.stderr.read() == ""
    program.stderr.close()
    assert program.wait() == 141


def test_completion_knows_commands_and_flags(capsys):
    script = shown(capsys, "completion", "bash")
    for word in ("reactface", "prepare", "extract", "wav2vec2", "sample-clip", "--num-reactions", "--clip-ids"):
        assert word in script


def test_a_configuration_is_found_by_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config("reference") == load_config("configs/reference.py") == load_config("reference.py") == Config()
    assert find_config("ablations/table3").name == "table3.py"
    for name in ("methods/trans-ae", "methods/trans_ae", "configs/methods/trans-ae.py"):
        assert load_config(name).method == "trans-ae"
    Path("reference.py").write_text("from reactface_jax.config import *\nconfig = Config(data=DataConfig(dir='x'))\n")
    assert load_config("reference.py").data.dir == "x"  # a file of one's own goes first
    with pytest.raises(UserError, match=r"refrence does not exist; did you mean reference\?"):
        load_config("refrence")
    with pytest.raises(UserError, match=r"trans-ae does not exist; did you mean methods/trans_ae\?"):
        load_config("trans-ae")
    with pytest.raises(UserError, match=r"give a file, or one of demo, .*, vico, methods/belfusion, .*, methods/zhou$"):
        load_config("no-such-thing")
    with pytest.raises(UserError, match="listener is a ListenerConfig, which only `reactface train` takes; give one"):
        load_config("listener")
    with pytest.raises(UserError, match="pirender is a RendererConfig, which only `reactface train` takes; give one"):
        load_config("pirender")
    with pytest.raises(UserError, match=r"configuration \.\./configs/tiny\.py does not exist"):
        load_config("../configs/tiny.py")
    Path("config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config\.json is not a Python file"):
        load_config("config.json")


def test_a_missing_package_is_named_with_what_installs_it():
    error = missing_extra(ModuleNotFoundError("No module named 'av'", name="av"))
    assert "needs av" in str(error)
    assert "pip install 'reactface-jax[render]'" in str(error)
    other = ModuleNotFoundError("no", name="antigravity")
    assert missing_extra(other) is other


def test_the_wheel_has_configurations_assets_and_the_command(tmp_path):
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("reactface_jax", "data_pipeline", "configs", "docs/cards"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    build = "from setuptools import build_meta; build_meta.build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"reactface_jax/{path.relative_to(ROOT)}" for path in (ROOT / "configs").rglob("*.py")}
    expected |= {f"reactface_jax/cards/{path.name}" for path in (ROOT / "docs" / "cards").glob("*.md")}
    for package in ("reactface_jax", "data_pipeline"):
        files = [path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        expected |= {str(path.relative_to(ROOT)) for path in files}
    assert expected <= names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"reactface_jax", "data_pipeline"}
    (points,) = (name for name in names if name.endswith("entry_points.txt"))
    assert b"reactface = reactface_jax.commands.main:main" in zipfile.ZipFile(wheel).read(points)
