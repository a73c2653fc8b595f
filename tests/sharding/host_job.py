"""One process of a job, for test_host_jobs.py: `host_job.py WORKDIR DEVICES [FIELD ...]`, resuming if it can.

A stand-in takes ReactFace's place; another method is trained itself, on speakers who move and listeners who follow.
"""

import dataclasses
import logging
import pathlib
import sys
import time

import jax
import numpy as np
from jax.sharding import PartitionSpec
from toy_training import conversations
from training_run import FRAMES, StandIn, configure, make_batch, make_data

from reactface_jax.training import hosts, reactface_objective, sharding
from reactface_jax.training.loop import train
from reactface_jax.training.sharding import host_rows, make_mesh

ROWS = 8


def main(workdir: str, devices: str, *words: str) -> None:
    jax.config.update("jax_num_cpu_devices", int(devices))
    config = configure(
        "--train.batch-size", str(ROWS), "--train.log-every", "1", "--train.checkpoint-every", "4", *words
    )
    reactface_objective.build_model = StandIn
    sharding.RULES = ((r"kernel$", PartitionSpec("fsdp")), *sharding.RULES)  # so that checkpoints are in parts
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    hosts.join(config.hosts)
    with hosts.ending_together():
        logging.getLogger("reactface_jax").setLevel(logging.INFO if hosts.is_first() else logging.WARNING)
        rows = host_rows(make_mesh(config=config.mesh), ROWS)

        def own(step: int):
            whole = make_batch(step, ROWS) if config.method == "reactface" else conversations(step, ROWS, FRAMES)
            return jax.tree.map(lambda x: np.asarray(x)[rows], whole)

        def slowly(step: int):
            time.sleep(0.1)  # so that a test can act between steps
            return own(step)

        data = dataclasses.replace(make_data(slowly), validation_batches=lambda: iter([own(1000)]))
        pathlib.Path(workdir).mkdir(exist_ok=True)
        train(config, workdir, data, resume=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
