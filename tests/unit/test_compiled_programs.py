"""Compiled programs are kept for every command, in the user's own folder."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from reactface_jax.compiled_programs import keep_compiled_programs


@pytest.fixture(autouse=True)
def as_before():
    folder, variable = jax.config.jax_compilation_cache_dir, os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
    yield
    os.environ["JAX_COMPILATION_CACHE_DIR"] = variable
    jax.config.update("jax_compilation_cache_dir", folder)


def test_the_default_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    keep_compiled_programs()
    folder = tmp_path / "reactface_jax" / "compiled"
    assert jax.config.jax_compilation_cache_dir == str(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_jax_own_variable_comes_first_and_empty_keeps_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "mine"))
    keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")
    keep_compiled_programs("")
    assert jax.config.jax_compilation_cache_dir is None


def test_a_folder_that_cant_be_made_keeps_none(tmp_path: Path):
    (tmp_path / "file").touch()
    keep_compiled_programs(str(tmp_path / "file" / "below"))
    assert jax.config.jax_compilation_cache_dir is None


def test_jax_is_not_imported_for_it(tmp_path: Path):
    code = (
        "import sys\n"
        "from reactface_jax.compiled_programs import keep_compiled_programs\n"
        f"keep_compiled_programs({str(tmp_path / 'kept')!r})\n"
        "assert 'jax' not in sys.modules\n"
        "import jax\n"
        "print(jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_PERSISTENT")}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == [str(tmp_path / "kept"), "0.1"]  # programs from a tenth of a second on
