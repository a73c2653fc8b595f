"""Damages checkpoints at random and counts what becomes of it: python -m benchmarks.attack_checkpoints --count 200

Each time one of three checkpoints gets one to three damages: a flipped bit, zeros, a cut or emptied file, bytes too
many, a file that is gone or another one's. Then it is loaded for use, the newest and the best, and restored to train
on. What must come of it: the numbers of a step that was written, under its own name, or one sentence. Everything else
is counted: wrong numbers (silent) and any other exception (traceback). What lasts longer than a minute ends the
process, which prints where it hangs.
"""

import argparse
import collections
import faulthandler
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from reactface_jax.config import Config
from reactface_jax.errors import UserError
from reactface_jax.training.checkpoints import Checkpoints
from reactface_jax.training.state import TrainState
from reactface_jax.weights.run import FOLDER, About, load_run

STEPS = (1, 2, 3)
SCORES = (0.3, 0.9, 0.1)
LONGEST = 60  # seconds
_OPTIMIZER = optax.adam(0.1)


def state_of(step: int) -> TrainState:
    """A training's state; each step has other numbers."""
    params = {"layer": {"kernel": jax.random.normal(jax.random.key(step), (40, 100)), "bias": jnp.full(3, float(step))}}
    return TrainState.create(params, _OPTIMIZER, jax.random.key(step))


def make_run(run_dir: Path) -> None:
    """A run with the checkpoints of `STEPS`."""
    about = About(Config(), np.linspace(0, 1, 58).astype(np.float32), tuple(f"c{i}" for i in range(58)))
    with Checkpoints(run_dir, len(STEPS)) as checkpoints:
        for step, score in zip(STEPS, SCORES, strict=True):
            checkpoints.save(step, state_of(step), about, score)


def damage(folder: Path, rng: np.random.Generator) -> str:
    """Damages a file somewhere in a folder, and says how."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = files[rng.integers(len(files))]
    content = bytearray(path.read_bytes())
    size = len(content)
    kind = str(rng.choice(["bit", "zeros", "cut", "empty", "longer", "gone", "other", "noise"]))
    start, stop = sorted(rng.integers(0, size + 1, 2)) if size else (0, 0)
    if kind == "bit" and size:
        content[rng.integers(size)] ^= 1 << rng.integers(8)
    elif kind == "zeros":
        content[start:stop] = bytes(stop - start)
    elif kind == "noise":
        content[start:stop] = rng.bytes(stop - start)
    elif kind == "cut":
        del content[start:]
    elif kind == "empty":
        content.clear()
    elif kind == "longer":
        content += rng.bytes(10)
    elif kind == "other":
        content = bytearray(files[rng.integers(len(files))].read_bytes())
    path.write_bytes(content)
    if kind == "gone":
        path.unlink()
    return f"{kind}: {path.relative_to(folder)}"


def attack(run_dir: Path, count: int, seed: int) -> tuple[collections.Counter[str], list[str]]:
    """Damages copies of a run.

    Args:
      run_dir: what `make_run` made.
      count: of damaged copies.
      seed: of the damages.

    Returns:
      How often what came of it, and a line for each result that must not be.
    """
    rng = np.random.default_rng(seed)
    results: collections.Counter[str] = collections.Counter()
    failures: list[str] = []
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "run"
            shutil.copytree(run_dir, copy)
            damaged = int(rng.choice(STEPS))
            told = [damage(copy / FOLDER / str(damaged), rng) for _ in range(rng.integers(1, 4))]
            for name, read in _READERS.items():
                faulthandler.dump_traceback_later(LONGEST, exit=True)  # a hang ends the whole count
                result = _result(read, copy)
                faulthandler.cancel_dump_traceback_later()
                results[f"{name}: {result.split(':')[0]}"] += 1
                if result.startswith(("silent", "traceback")):
                    failures.append(f"{number}, step {damaged}, {'; '.join(told)}: {name}: {result}")
    return results, failures


def _result(read: Callable[[Path], tuple[int, TrainState | dict[str, jax.Array]]], run_dir: Path) -> str:
    try:
        step, found = read(run_dir)
    except UserError as error:
        return "traceback: several lines" if "\n" in str(error) else "one sentence"
    except Exception as error:
        return f"traceback: {type(error).__name__}: {error}"
    expected = state_of(step)
    right = _same(found, expected if isinstance(found, TrainState) else expected.params)
    return f"right, step {step}" if right else f"silent: wrong numbers as step {step}"


def _same(found: object, expected: object) -> bool:
    def numbers(leaf: jax.Array) -> np.ndarray:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    leaves = [jax.tree.leaves(tree) for tree in (found, expected)]
    return len(leaves[0]) == len(leaves[1]) and all(
        np.array_equal(numbers(one), numbers(other)) for one, other in zip(*leaves, strict=True)
    )


def _newest(run_dir: Path) -> tuple[int, dict[str, jax.Array]]:
    run = load_run(run_dir)
    return run.step, run.params


def _best(run_dir: Path) -> tuple[int, dict[str, jax.Array]]:
    run = load_run(run_dir, "best")
    return run.step, run.params


def _resumed(run_dir: Path) -> tuple[int, TrainState]:
    with Checkpoints(run_dir, len(STEPS)) as checkpoints:
        found = checkpoints.restore_newest(state_of(0), lambda about: None)
    if found is None:
        raise UserError("no checkpoint is left")
    return found


_READERS: dict[str, Callable[[Path], tuple[int, TrainState | dict[str, jax.Array]]]] = {
    "newest": _newest,
    "best": _best,
    "resumed": _resumed,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="damaged copies of a run")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.getLogger("reactface_jax").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        make_run(Path(folder) / "run")
        results, failures = attack(Path(folder) / "run", arguments.count, arguments.seed)
    for result, count in sorted(results.items()):
        print(f"{count:5d}  {result}")
    print(*failures, sep="\n")
    print(f"{arguments.count} damaged checkpoints, each read in 3 ways: {len(failures)} silent errors or tracebacks")
    raise SystemExit(bool(failures))


if __name__ == "__main__":
    main()
