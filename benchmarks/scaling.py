"""What a training step costs on more and more devices: `python -m benchmarks.scaling [--devices 1,2,4,8,16,32,64]`.

Compiles the full-size train step (configs/reference.py, one clip a device by default) for fake CPU devices, runs
nothing, and prints a clip's arithmetic, a device's memory and the bytes of its collectives. F-Enc has the form that
accelerators use. The memory is what XLA's CPU compiler plans: an accelerator's lays out and fuses otherwise; the table
of appropriate reactions, which every device holds beside the step, comes on top.
"""

import argparse
import dataclasses
import json
import math
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

# Compiling for more devices than there are costs most of the time: plain code is enough, since it never runs.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")

import jax

from benchmarks.hlo_collectives import Collective, collectives
from benchmarks.train_step import flops_of_step
from reactface_jax.config import Config, MeshConfig, load_config
from reactface_jax.files import replacing
from reactface_jax.models import video_encoder
from reactface_jax.ops import convolution, pooling
from reactface_jax.training.program import make_program
from reactface_jax.training.sharding import make_mesh

MIB = 2**20
REFERENCE = Path(__file__).parents[1] / "configs" / "reference.py"


LAYOUTS = {
    "data": lambda count: MeshConfig(data=count),
    "fsdp": lambda count: MeshConfig(data=1, fsdp=count),
    "fsdp, model 2": lambda count: MeshConfig(data=1, fsdp=count // 2, model=2),
    "fsdp, model 4": lambda count: MeshConfig(data=1, fsdp=count // 4, model=4),
}


def cost(config: Config, layout: str, count: int, clips: int) -> dict:
    """Figures of one device's program."""
    mesh_config = LAYOUTS[layout](count)
    rows = clips * count // mesh_config.model  # the devices of "model" have the same clips
    config = dataclasses.replace(config, mesh=mesh_config, train=dataclasses.replace(config.train, batch_size=rows))
    clock = time.perf_counter()
    program = make_program(config, make_mesh(jax.devices()[:count], mesh_config))
    compiled = program.step.lower(program.state, program.batch).compile()
    seconds = time.perf_counter() - clock
    memory = compiled.memory_analysis()
    found = collectives(compiled.as_text())
    sent: defaultdict[str, int] = defaultdict(int)
    for one in found:
        sent[f"{one.kind} of {one.group}"] += one.bytes * one.times
    return {
        "layout": layout,
        "devices": count,
        "clips": rows,
        "state_bytes": bytes_of_a_device(program.state),
        "batch_bytes": bytes_of_a_device(program.batch),
        "temporary_bytes": memory.temp_size_in_bytes,
        "flops_a_clip": flops_of_step(config, program) / rows,
        "collective_bytes": dict(sent),
        "ring_bytes": sum(ring_bytes(one) for one in found),
        "messages": sum(one.times for one in found),
        "seconds": seconds,
    }


def bytes_of_a_device(tree: Any) -> int:
    """What each device holds of arrays that are sharded as they say."""
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def ring_bytes(one: Collective) -> float:
    """Bytes that a device sends in a ring, the usual algorithm for large arrays."""
    share = (one.group - 1) / max(one.group, 1)
    whole = {"all-reduce": 2.0, "reduce-scatter": float(one.group)}.get(one.kind, 1.0)
    return one.times * one.bytes * share * whole


def without_dropout(config: Config) -> Config:
    names = ("hidden_dropout", "attention_dropout", "activation_dropout", "layer_dropout", "mask_time_prob")
    audio = dataclasses.replace(config.model.audio, **dict.fromkeys(names, 0.0))
    return dataclasses.replace(config, model=dataclasses.replace(config.model, dropout=0.0, audio=audio))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", default=str(REFERENCE))
    parser.add_argument("--devices", default="1,2,4,8,16,32,64")
    parser.add_argument("--layouts", default="data;fsdp", help="; between: " + "; ".join(LAYOUTS))
    parser.add_argument("--clips", type=int, default=1, help="clips a device")
    parser.add_argument("--without-dropout", action="store_true", help="compiles in half the time; little less memory")
    parser.add_argument("--json", default="", help="file for the figures")
    arguments, overrides = parser.parse_known_args()
    counts = [int(word) for word in arguments.devices.split(",")]
    jax.config.update("jax_num_cpu_devices", max(counts))
    video_encoder.conv3d, video_encoder.max_pool = convolution.on_gpu, pooling.native
    config = load_config(arguments.config, overrides)
    if arguments.without_dropout:
        config = without_dropout(config)

    rows = []
    columns = f"{'layout':14}{'devices':>8}{'clips':>7}{'state MiB':>11}{'batch MiB':>11}{'temp MiB':>10}"
    print(f"{columns}{'TFLOP a clip':>14}  collectives, MiB")
    for layout in arguments.layouts.split(";"):
        for count in counts:
            if LAYOUTS[layout](count).fsdp == 0:
                continue
            row = cost(config, layout, count, arguments.clips)
            rows.append(row)
            sent = ", ".join(f"{kind}: {size / MIB:.1f}" for kind, size in row["collective_bytes"].items()) or "none"
            print(
                f"{layout:14}{count:8}{row['clips']:7}{row['state_bytes'] / MIB:11.0f}{row['batch_bytes'] / MIB:11.0f}"
                f"{row['temporary_bytes'] / MIB:10.0f}{row['flops_a_clip'] / 1e12:14.2f}  {sent}  "
                f"({row['messages']} messages, compiled in {row['seconds']:.0f} s)",
                flush=True,
            )
            if arguments.json:
                with replacing(arguments.json) as file:
                    file.write(json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    main()
