"""What XLA plans for an NVIDIA GPU, without a GPU: `python -m benchmarks.gpu_plan train --card h100`.

Needs the extra `cuda` (4.4 GB of wheels), whose compiler takes the description of a card. Programs:

- `train`, `validation`: of a configuration, on one card;
- `window`: one window of the window protocol; `stream`: one window of a causal model's conversation.

Prints the compiler's plan of memory, how many kernels, library calls and copies a call launches (loops counted as often
as they turn), the layouts of cuDNN's convolutions, and transposes of 16 MiB and more. Nothing is tried on a card: no
autotuning and no products by Triton, so that what a card would choose by trying may differ. Every field of the
configuration is a flag too. Nothing runs.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

# Before jax is imported.
os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false"
)

from jax._src import xla_bridge
from jax.experimental import topologies

from benchmarks.gpu_launches import Launches, launches
from benchmarks.planned_programs import PROGRAMS, Planned
from reactface_jax.config import load_config
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.training.dry_run import Memory, memory_of

GIB = 2**30


class Card(NamedTuple):
    """What the compiler wants to know, from NVIDIA's data sheets and `cudaGetDeviceProperties`."""

    name: str
    capability: int
    cores: int
    fpus_per_core: int
    clock_ghz: float
    memory: int
    bandwidth: int
    l2: int
    shared_memory_per_core: int
    shared_memory_per_block: int
    """The most that a block may ask for."""


CARDS = {
    "h100": Card("NVIDIA H100 80GB HBM3", 9, 132, 128, 1.98, 84942979072, 3352320000000, 52428800, 233472, 232448),
    "a100": Card("NVIDIA A100-SXM4-80GB", 8, 108, 64, 1.41, 85100068864, 2039040000000, 41943040, 167936, 166912),
}


def described(card: Card) -> Any:
    """A card's device, without one. Raises `UserError` where the compiler is missing."""
    config = f"""
        gpu_device_info {{
          threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
          block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
          thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
          registers_per_core_limit: 65536 registers_per_block_limit: 65536
          core_count: {card.cores} fpus_per_core: {card.fpus_per_core} clock_rate_ghz: {card.clock_ghz}
          device_memory_size: {card.memory} memory_bandwidth: {card.bandwidth} l2_cache_size: {card.l2}
          shared_memory_per_core: {card.shared_memory_per_core} shared_memory_per_block: 49152
          shared_memory_per_block_optin: {card.shared_memory_per_block}
          cuda_compute_capability {{ major: {card.capability} minor: 0 }}
        }}
        platform_name: "CUDA"
        dnn_version_info {{ major: 9 minor: 12 }}
        runtime_version {{ major: 13 }}
        device_description_str: "{card.name}"
    """
    if importlib.util.find_spec("jax_cuda13_plugin") is None:
        raise UserError("the compiler for GPUs is not installed: pip install 'reactface-jax[cuda]'")
    return topologies.get_topology_desc(platform="cuda", target_config=config, topology="1x1x1").devices[0]


@contextlib.contextmanager
def cuda_is_known() -> Iterator[None]:
    """Without a device JAX does not know what "gpu" is (jax-ml/jax#23971), which lowering asks it."""
    known = xla_bridge.canonicalize_platform
    with mock.patch.object(xla_bridge, "canonicalize_platform", lambda name: "cuda" if name == "gpu" else known(name)):
        yield


class Plan(NamedTuple):
    """Of one program on one card."""

    name: str
    seconds: float
    memory: Memory
    launches: Launches


def plan(program: Planned) -> Plan:
    """Compiles it for the card that its shapes lie on."""
    start = time.perf_counter()
    with cuda_is_known():
        compiled = program.function.lower(*program.shapes).compile()
    return Plan(program.name, time.perf_counter() - start, memory_of(compiled), launches(compiled.as_text()))


def show(found: Plan, card: Card) -> None:
    """Prints it."""
    memory, (kinds, layouts, transposes) = found.memory, found.launches
    print(
        f"{found.name}: compiled in {found.seconds:.0f} s; arguments {memory.arguments / GIB:.2f} GiB, temporary "
        f"{memory.temporaries / GIB:.2f}, new outputs {memory.outputs / GIB:.2f}, "
        f"{1 - memory.peak / card.memory:.0%} of a {card.name} to spare"
    )
    print("  launches: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    print("  convolutions: " + (", ".join(f"{count} {layout}" for layout, count in layouts.most_common()) or "none"))
    moved = ", ".join(f"{count} x {shape}" for shape, count in transposes.most_common(10))
    print(f"  moves of 16 MiB and more by themselves: {moved or 'none'}")
    sys.stdout.flush()


@reports_user_errors
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("--config", default="reference")
    parser.add_argument("--card", choices=CARDS, default="h100")
    parser.add_argument("--conversations", type=int, default=1, help="of window and stream")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments, words = parser.parse_known_args()
    config, card = load_config(arguments.config, words), CARDS[arguments.card]
    found = plan(PROGRAMS[arguments.program](config, [described(card)], arguments.conversations))
    show(found, card)
    if arguments.json:
        figures = {**found._asdict(), "memory": found.memory._asdict(), "launches": found.launches._asdict()}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
