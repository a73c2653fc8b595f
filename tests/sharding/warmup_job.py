"""One process of a job that warms F-Enc up and ends, for test_host_jobs.py: `warmup_job.py DEVICES [FIELD ...]`."""

import sys

import jax
import jax.numpy as jnp
from training_run import configure, make_batch

from reactface_jax.training import hosts
from reactface_jax.training.program import make_program
from reactface_jax.training.sharding import host_rows, make_mesh
from reactface_jax.types import Batch

ROWS = 4


def main(devices: str, *words: str) -> None:
    jax.config.update("jax_num_cpu_devices", int(devices))
    config = configure("--train.batch-size", str(ROWS), "--train.video-warmup", "3", *words)
    hosts.join(config.hosts)
    with hosts.ending_together():
        mesh = make_mesh(config=config.mesh)
        program, rows = make_program(config, mesh), host_rows(mesh, ROWS)

        def own(step: int) -> Batch:
            return jax.tree.map(lambda x: x[rows], make_batch(step, ROWS))

        before = program.start()
        state = program.begin_stage(before, 0, lambda: map(own, range(10)))
        assert jax.tree.map(lambda x: x.sharding, state.params) == program.placement.params
        kernels = state.params["speaker_encoder"]["video_encoder"]
        print("sizes", *(f"{float(jnp.sum(jnp.abs(x))):.6g}" for x in jax.tree.leaves(kernels)))


if __name__ == "__main__":
    main(*sys.argv[1:])
