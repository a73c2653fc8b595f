"""What the TPU's own compiler plans, without a TPU: `python -m benchmarks.tpu_plan train --chips v5e:2x4`.

Needs the extra `tpu-plan` (libtpu), which compiles for a described slice on any x86 machine with Linux. Programs:

- `train`, `validation`: of a configuration, on a mesh of all chips named by --chips;
- `window`: one window of the window protocol; `stream`: one window of a causal model's conversation; both on one chip;
- `pieces`: F-Enc's convolutions in both forms with their gradients, and a step's appropriate reactions: half a minute.

Prints the compiler's plan of memory for a chip, its estimated cycles, the ten most expensive operations and what chips
send each other. Memory is what the program would get, or the compiler refuses. Cycles are the compiler's cost model, no
measurement: they compare two forms of one operation. Every field of the configuration is a flag too. The whole training
step takes minutes to compile; nothing runs.
"""

import argparse
import importlib.util
import json
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

# Before jax is imported. The description of a slice asks for a machine's type; its chips are those of --chips.
os.environ |= {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
}

import jax
import jax.numpy as jnp
from jax.experimental import topologies

from benchmarks.hlo_collectives import collectives
from benchmarks.hlo_text import instructions
from benchmarks.planned_programs import PROGRAMS, on_one_chip
from reactface_jax.config import Config, MeshConfig, load_config
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.ops import convolution
from reactface_jax.training.dry_run import Memory, memory_of
from reactface_jax.training.neighbour_table import take
from reactface_jax.types import NUM_COEFFICIENTS

GIB = 2**30
USABLE = {"v5e": 15.75 * GIB, "v6e": 31.25 * GIB}
"""Memory of a chip that programs get, as the compiler says when it refuses one."""

_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_SOURCE = re.compile(r'op_name="([^"]*)"')


class Operation(NamedTuple):
    """An instruction that the compiler gives cycles for."""

    cycles: int
    """Of all its runs: loops count as often as they turn, once where the text does not say."""
    kind: str
    shape: str
    source: str


class Plan(NamedTuple):
    """Of one program on one chip."""

    name: str
    seconds: float
    memory: Memory
    operations: list[Operation]
    sent: dict[str, int]

    @property
    def cycles(self) -> int:
        return sum(one.cycles for one in self.operations)


def describe_slice(chips: str) -> Any:
    """A slice such as `v5e:2x4`, without one. Raises `UserError` where the compiler is missing."""
    if importlib.util.find_spec("libtpu") is None:
        raise UserError("the TPU's compiler is not installed: pip install 'reactface-jax[tpu-plan]'")
    return topologies.get_topology_desc(platform="tpu", topology_name=chips)


def operations(hlo: str) -> list[Operation]:
    """Those of a compiled program that cost cycles, most expensive first."""
    found = []
    for one, times in instructions(hlo, into=("while",)):
        if one.kind != "while" and (cycles := _CYCLES.search(one.line)):
            source = _SOURCE.search(one.line)
            shape = re.sub(r"\{[^}]*\}", "", one.shape)
            found.append(Operation(int(cycles[1]) * times, one.kind, shape, source[1] if source else ""))
    return sorted(found, reverse=True)


def plan(name: str, function: Any, *shapes: Any) -> Plan:
    """Compiles a function, or a `jax.jit` of one, for shapes whose shardings say for which chips."""
    start = time.perf_counter()
    jitted = function if hasattr(function, "lower") else jax.jit(function)
    compiled = jitted.lower(*shapes).compile()
    text = compiled.as_text()
    sent: defaultdict[str, int] = defaultdict(int)
    for one in collectives(text):
        sent[one.kind] += one.bytes * one.times
    return Plan(name, time.perf_counter() - start, memory_of(compiled), operations(text), dict(sent))


def show(found: Plan, chip: str, most: int) -> None:
    memory, spare = found.memory, 1 - found.memory.peak / USABLE[chip]
    print(
        f"{found.name}: compiled in {found.seconds:.0f} s; arguments {memory.arguments / GIB:.2f} GiB, temporary "
        f"{memory.temporaries / GIB:.2f}, new outputs {memory.outputs / GIB:.2f}, {spare:.0%} of a {chip} to spare; "
        f"{found.cycles / 1e6:.4g} M cycles by the compiler's estimate"
    )
    if found.sent:
        print("  sent: " + ", ".join(f"{kind} {size / 2**20:.1f} MiB" for kind, size in sorted(found.sent.items())))
    for one in found.operations[:most]:
        print(f"  {one.cycles / 1e6:9.2f} M  {one.kind} {one.shape[:60]}  {one.source[-90:]}")
    sys.stdout.flush()


# ---- F-Enc's first layers


def plan_pieces(config: Config, slice_: Any) -> Iterator[Plan]:
    """One clip's conv1 and conv2 and their gradients, native and as TPUs get them; the appropriate reactions."""
    frames, size, dim = config.data.clip_frames, config.data.image_size, config.model.feature_dim
    dtype, pooled = jnp.dtype(config.model.dtype), ((size + 1) // 2 - 3) // 2 + 1
    layers = {"conv1": (size, 3, dim // 4), "conv2": (pooled, dim // 4, dim)}
    forms: dict[str, Callable[..., Any]] = {"native": convolution.native, "ours": convolution.on_tpu}
    for layer, (edge, channels, features) in layers.items():
        x = jax.ShapeDtypeStruct((1, frames, edge, edge, channels), dtype)
        kernel = jax.ShapeDtypeStruct((5, 7, 7, channels, features), dtype)
        shapes = on_one_chip((x, kernel), slice_.devices[0])
        for form, convolve in forms.items():

            def forward(x: Any, kernel: Any, convolve: Callable[..., Any] = convolve) -> Any:
                return convolve(x, kernel, stride=2)

            def kernel_gradient(x: Any, kernel: Any, forward: Callable[..., Any] = forward) -> Any:
                y, pull = jax.vjp(lambda kernel: forward(x, kernel), kernel)
                return pull(jnp.ones_like(y))

            def input_gradient(x: Any, kernel: Any, forward: Callable[..., Any] = forward) -> Any:
                y, pull = jax.vjp(lambda x: forward(x, kernel), x)
                return pull(jnp.ones_like(y))

            yield plan(f"{layer} {form}, forward", forward, *shapes)
            yield plan(f"{layer} {form}, kernel gradient", kernel_gradient, *shapes)
            if layer == "conv2":  # nobody asks for that of the pictures
                yield plan(f"{layer} {form}, input gradient", input_gradient, *shapes)

    clips, length = 3186, config.data.eval_frames  # REACT2023's training split without UDIVA
    table = jax.ShapeDtypeStruct((NUM_COEFFICIENTS, clips * length), jnp.float32)
    places = jax.ShapeDtypeStruct((1, config.data.max_neighbours, 2), jnp.int32)
    rows = jax.ShapeDtypeStruct((clips, length, NUM_COEFFICIENTS), jnp.float32)
    yield plan(
        "appropriate reactions, a table [N T C]",
        lambda table, places: table[places[..., :1], places[..., 1:] + jnp.arange(frames)[None, None]],
        *on_one_chip((rows, places), slice_.devices[0]),
    )
    yield plan(
        "appropriate reactions",
        lambda table, places: take(table, places, frames, length),
        *on_one_chip((table, places), slice_.devices[0]),
    )


@reports_user_errors
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("program", choices=(*PROGRAMS, "pieces"))
    parser.add_argument("--config", default="reference")
    parser.add_argument("--chips", default="v5e:2x2", help="a slice: v5e:2x2, v5e:2x4, v6e:2x2 …")
    parser.add_argument("--devices", type=int, default=0, help="chips of it that are used; 0: all")
    parser.add_argument("--conversations", type=int, default=1, help="of window and stream")
    parser.add_argument("--most", type=int, default=10, help="expensive operations that are listed")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments, words = parser.parse_known_args()
    config = load_config(arguments.config, words)
    chip = arguments.chips.split(":")[0]
    slice_ = describe_slice(arguments.chips)
    if arguments.devices:
        slice_.devices = slice_.devices[: arguments.devices]
    if config.mesh == MeshConfig() and arguments.program == "train":
        print(
            f"{len(slice_.devices)} chips of {arguments.chips}, {config.train.batch_size} clips, {config.model.dtype}"
        )
    if arguments.program == "pieces":
        plans = plan_pieces(config, slice_)
    else:
        program = PROGRAMS[arguments.program](config, slice_.devices, arguments.conversations)
        plans = iter([plan(program.name, program.function, *program.shapes)])
    figures = []
    for found in plans:
        show(found, chip, 1 if arguments.program == "pieces" else arguments.most)
        figures.append({**found._asdict(), "memory": found.memory._asdict(), "cycles": found.cycles})
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
