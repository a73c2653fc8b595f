"""What every test runs under: CPU, eight devices, strict ranks, checked shapes.

REACTFACE_TEST_PLATFORM=cuda (or tpu) runs the tests on that accelerator; those that need more devices than it has are
skipped.
"""

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before jax is imported; subprocesses inherit it. What one test or an earlier run compiled serves the others.
os.environ["JAX_PLATFORMS"] = ",".join(dict.fromkeys([os.environ.get("REACTFACE_TEST_PLATFORM", "cpu"), "cpu"]))
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")  # lowering a program takes a third less time

import jax
import jaxlib
import jaxtyping
import pytest
from jaxtyping import install_import_hook

TESTS = Path(__file__).parent

if os.environ["JAX_PLATFORMS"] == "cpu":
    # Compiling is most of what the tests wait for. Plain code compiles several times faster; XLA reads this when it
    # starts, which is later, and stops at a flag that it does not know. Flags that are set already stay.
    flags = {"xla_backend_optimization_level": "0"}
    if jaxlib.__version__.startswith("0.10."):
        flags |= {"xla_cpu_use_fusion_emitters": "false", "xla_cpu_parallel_codegen_split_count": "1"}
    words = [f"--{name}={value}" for name, value in flags.items()]
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *words])
else:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several processes share the accelerator
    os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"  # the tests compare in float32, not in TF32 or bfloat16

sys.path.insert(0, str(TESTS))  # `from oracle import ...`

jax.config.update("jax_num_cpu_devices", 8)  # for the sharding tests; the others use the first alone
jax.config.update("jax_numpy_rank_promotion", "raise")
with contextlib.suppress(ModuleNotFoundError):  # without the extra `convert`, tests of other parts still run
    import torch

    torch.set_num_threads(2)

# Programs and their traces are millions of objects that stay: they are searched for garbage less often.
gc.freeze()
gc.set_threshold(10_000, 20, 50)

# Checks every annotated shape and type at run time. It must come before the package's first import.
install_import_hook("reactface_jax", "beartype.beartype")


@pytest.fixture(scope="session")
def goldens() -> Path:
    """Folder of inputs and outputs of the authors' code."""
    return TESTS / "goldens"


@pytest.fixture(scope="session")
def as_users_compile() -> dict[str, int | bool]:
    """Options for `jax.jit` that give a program XLA's default optimisation: the flags above took it from the tests."""
    options: dict[str, int | bool] = {"xla_backend_optimization_level": 3}
    if jaxlib.__version__.startswith("0.10."):
        options["xla_cpu_use_fusion_emitters"] = True
    return options


@pytest.fixture
def as_users_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check of annotated shapes and types, so that calls get as far as those of users do."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def accelerator_forms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wherever the test runs, operations take the form that TPUs run: GPUs' too, but for `conv3d`'s over blocks."""
    taken = []

    def form_of_a_tpu(*operands: Any, default: Callable, tpu: Callable | None = None, **_: Callable) -> Any:
        taken.append(tpu or default)
        return taken[-1](*operands)

    monkeypatch.setattr(jax.lax, "platform_dependent", form_of_a_tpu)
    yield
    assert taken, "no operation of this test has a form of its own on a CPU"
