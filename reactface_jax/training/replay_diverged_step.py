"""Computes again a training step that was not finite: `reactface replay runs/x/diverged-step-7.npz`.

Says which input, which loss and whose gradient is not finite. Exit code 0 if it happens again, 1 if it does not.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from reactface_jax import arguments
from reactface_jax.errors import reports_user_errors
from reactface_jax.training.divergence import Dump, read_dump
from reactface_jax.training.methods import make_objective
from reactface_jax.training.objective import Gradient
from reactface_jax.tree_names import named_leaves

_SHOWN = 5  # parameters


def replay(gradient: Gradient, dump: Dump) -> Iterator[str]:
    """Lines of what is found; the last one is "finite here" if nothing is."""
    yield f"step {dump.step + 1}, clips {', '.join(dump.clip_ids)}"
    whole = dump.config.train.batch_size
    if len(dump.clip_ids) < whole:
        yield (
            f"one process's {len(dump.clip_ids)} of the step's {whole} clips: other noise is drawn than in the step, "
            "and what is finite here may not have been there"
        )
    inputs = {name: x for name, x in dump.batch._asdict().items() if not np.isfinite(x).all()}
    for name, x in inputs.items():
        clips = [clip for clip, values in zip(dump.clip_ids, x, strict=True) if not np.isfinite(values).all()]
        yield f"input {name} is not finite in {', '.join(clips)}"
    key = jax.random.wrap_key_data(jnp.asarray(dump.key))
    metrics, gradients, _ = jax.jit(gradient)(dump.variables, dump.batch, key, jnp.asarray(dump.step))
    for name, value in {**metrics, "gradient_norm": optax.tree.norm(gradients)}.items():
        yield f"{name}: {float(value):.6g}"
    bad = [name for name, x in named_leaves(dump.variables.params).items() if not np.isfinite(x).all()]
    yield from _some("parameter", bad)
    bad = [name for name, x in named_leaves(gradients).items() if not np.isfinite(x).all()]
    yield from _some("gradient of", bad)
    if not bad and np.isfinite(float(metrics["loss"])):
        yield "finite here"


def _some(what: str, names: list[str]) -> Iterator[str]:
    for name in names[:_SHOWN]:
        yield f"{what} {name} is not finite"
    if len(names) > _SHOWN:
        yield f"{what} {len(names) - _SHOWN} more"


def command(dump: tyro.conf.Positional[Path]) -> int:
    """Computes a step again that was not finite.

    Args:
      dump: the diverged-step-N.npz that the training wrote.
    """
    content = read_dump(dump)
    line = ""
    for line in replay(make_objective(content.config).gradient, content):
        print(line)
    return int(line == "finite here")


@reports_user_errors
def main(words: Sequence[str] | None = None) -> None:
    """Runs the words of a command line, the program's own by default."""
    sys.exit(arguments.run(command, words, prog="reactface replay", description=__doc__))


if __name__ == "__main__":
    main()
