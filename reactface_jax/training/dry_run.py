"""What a training would run, without running it: shapes, and the memory that XLA plans."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from reactface_jax.config import Config
from reactface_jax.methods.rows import picture_size
from reactface_jax.training.sharding import BATCH_SPEC
from reactface_jax.training.state import TrainState
from reactface_jax.types import NUM_COEFFICIENTS, SAMPLES_PER_FRAME, Batch


class Memory(NamedTuple):
    """XLA's plan for one device, in bytes."""

    arguments: int
    outputs: int
    """Those that take no argument's place."""
    temporaries: int

    @property
    def peak(self) -> int:
        return self.arguments + self.outputs + self.temporaries


def batch_shapes(config: Config, mesh: Mesh) -> Batch:
    """A training batch of the configuration, of all hosts together, as shapes."""
    clips, frames, size = config.train.batch_size, config.data.clip_frames, picture_size(config)
    neighbours = config.num_neighbours
    shapes: dict[str, tuple[tuple[int, ...], Any]] = dict(
        video=((clips, frames, size, size, 3), np.uint8),
        audio=((clips, frames * SAMPLES_PER_FRAME), np.float32),
        speaker=((clips, frames, NUM_COEFFICIENTS), np.float32),
        listener=((clips, frames, NUM_COEFFICIENTS), np.float32),
        neighbours=((clips, neighbours, frames, NUM_COEFFICIENTS), np.float32),
        neighbour_mask=((clips, neighbours), np.bool_),
        clip=((clips,), np.int32),
    )
    sharding = NamedSharding(mesh, BATCH_SPEC)
    structs = {name: jax.ShapeDtypeStruct(*shape, sharding=sharding) for name, shape in shapes.items()}
    return Batch(**cast(dict[str, Any], structs))


def memory_of(compiled: Any) -> Memory:
    """Of a compiled program."""
    plan = compiled.memory_analysis()
    return Memory(
        plan.argument_size_in_bytes,
        plan.output_size_in_bytes - plan.alias_size_in_bytes,
        plan.temp_size_in_bytes,
    )


def what_would_run(step_fn: Any, state: TrainState, batch: Batch, table: int = 0) -> Iterator[str]:
    """Compiles the step for these shapes and yields lines about them.

    Args:
      step_fn: a `jax.jit`.
      state: shapes, and how they are sharded.
      batch: likewise.
      table: bytes of the appropriate reactions, which every device holds beside the step; 0 if batches bring them.
    """
    for name, x in batch._asdict().items():
        yield f"  batch.{name}: {x.dtype.name} {list(x.shape)}"
    for name in ("params", "average", "method_state", "opt_state"):
        leaves = jax.tree.leaves(getattr(state, name))
        if not leaves:  # a run without average, or a method without state
            continue
        share = sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in leaves)
        yield f"  state.{name}: {len(leaves)} arrays, {_size(share)} a device"
    if table:
        yield f"  table of appropriate reactions, {_size(table)} a device"
    yield "compiling the step"
    compiled = step_fn.lower(state, batch).compile()
    memory = memory_of(compiled)
    backend = jax.default_backend()
    yield (
        f"memory a device by XLA's analysis for {backend}: {_size(memory.peak + table)} = {_size(memory.arguments)} "
        f"state and batch + {_size(memory.temporaries)} temporary + {_size(memory.outputs)} new outputs"
        + (f" + {_size(table)} table of appropriate reactions" if table else "")
    )
    if flops := (compiled.cost_analysis() or {}).get("flops"):
        yield f"arithmetic a step and device by XLA's count, loops counted once: {flops / 1e9:.4g} GFLOP"


def _size(number: int) -> str:
    return f"{number / 2**30:.2f} GiB" if number >= 2**30 else f"{number / 2**20:.1f} MiB"
