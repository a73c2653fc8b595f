"""What every test runs under: CPU, eight devices, strict ranks, checked shapes; and the goldens where they are."""

import os
import sys
from pathlib import Path

# Before jax is imported; subprocesses inherit it. What one test or an earlier run compiled serves the others.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))

import jax
import jaxlib
import pytest
import torch
from jaxtyping import install_import_hook

TESTS = Path(__file__).parent
GOLDENS = TESTS.parents[1] / "shared" / "goldens"

# Compiling is most of what the tests wait for. Plain code compiles several times faster; XLA reads this when it
# starts, which is later, and stops at a flag that it does not know.
flags = ["--xla_backend_optimization_level=0"]
if jaxlib.__version__.startswith("0.10."):
    flags.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags])

sys.path.insert(0, str(TESTS))  # `from oracle import ...`

jax.config.update("jax_num_cpu_devices", 8)  # for the sharding tests; the others use the first alone
jax.config.update("jax_numpy_rank_promotion", "raise")
torch.set_num_threads(2)

# Checks every annotated shape and type at run time. It must come before the package's first import.
install_import_hook("reactface_jax", "beartype.beartype")


@pytest.fixture(scope="session")
def goldens() -> Path:
    """Folder of inputs and outputs of the authors' code; they are too large to live here."""
    if not GOLDENS.is_dir():
        pytest.skip("the goldens of the authors' code are not beside the repository")
    return GOLDENS
