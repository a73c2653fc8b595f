"""Where compiled programs are kept, so that a command that ran before starts without compiling.

JAX's own variable JAX_COMPILATION_CACHE_DIR comes first: another folder, or empty to keep none. The default is a folder
of the user's cache that nobody else may write, since a program from it is run without a question.
"""

import contextlib
import os
import sys
from pathlib import Path

_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
_SHORTEST, _SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1"
"""Programs that take longer to compile are kept; JAX's own default is a second, and a command has dozens below it."""


def default_folder() -> str:
    """The variable's value, or the user's own folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return os.environ.get(_VARIABLE, f"{cache}/reactface_jax/compiled")


def keep_compiled_programs(folder: str | None = None) -> None:
    """Keeps what is compiled from now on in `folder`, or the default one; "" keeps none.

    JAX is not imported for it, and a folder that can't be made is no error: then nothing is kept.
    """
    folder = default_folder() if folder is None else folder
    path = str(Path(folder).expanduser().absolute()) if folder else ""
    if path:
        try:
            Path(path).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            path = ""
    os.environ[_VARIABLE] = path
    os.environ.setdefault(_SHORTEST, _SECONDS)
    if "jax" in sys.modules:
        import jax

        with contextlib.suppress(AttributeError):  # an import that has only begun reads the variables
            jax.config.update("jax_compilation_cache_dir", path or None)
            jax.config.update("jax_persistent_cache_min_compile_time_secs", float(os.environ[_SHORTEST]))
