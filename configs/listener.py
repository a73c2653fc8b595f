"""The packaged listener, trained on made conversations without pictures.

Command:   reactface train --config listener --workdir runs/listener
Hardware:  2 CPU cores.
Time:      docs/does_it_react.md has the log.
Expected:  docs/does_it_react.md: above every other row in FRCorr while listening; weights of 4 MB.

From a shard set of REACT2023, MARS or Seamless: add --data.dir SHARDS, and --model.components 40 or more, since real
faces move in more ways than made ones.
"""

from reactface_jax.methods.listener.config import ListenerConfig, ListenerData, ListenerSizes, ListenerTraining

config = ListenerConfig(
    model=ListenerSizes(),
    train=ListenerTraining(steps=2600, cycles=1, batch_size=32),
    data=ListenerData(scripts=1400, seed=100),
)
