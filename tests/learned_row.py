"""A row that learns by steps, small enough to compile at once: an offset, then a gain of the speaker's motion."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import optax

from reactface_jax.methods.learned import Variables


@dataclasses.dataclass(frozen=True)
class Offset:
    """First learns an offset with the noise of a dropout, then a gain with an offset that is held."""

    name: str = "Offset"
    needs: tuple[str, ...] = ("speaker",)
    warm_up: int = 0
    stages: tuple[int, ...] = (0, 2)

    def init(self, key):
        params = {"offset": 0.1 * jax.random.normal(key, (58,)), "gain": jnp.zeros(58)}
        return Variables(params, {"mean": jnp.zeros(58), "begun": jnp.zeros((), jnp.int32), "updates": jnp.zeros(())})

    def begin(self, stage, variables, batches):
        clips = list(itertools.islice(batches, 2))
        mean = jnp.stack([clip.speaker.mean((0, 1)) for clip in clips]).mean(0)
        state = {**variables.state, "mean": variables.state["mean"] + mean, "begun": jnp.int32(stage + 1)}
        return Variables(variables.params, state)

    def optimizer(self):
        return optax.adam(0.05)

    def loss(self, variables, batch, *, key, step):
        params, state = variables
        kept = jax.random.bernoulli(key, 0.9, batch.speaker.shape)
        second = step >= self.stages[1]
        offset = jnp.where(second, jax.lax.stop_gradient(params["offset"]), params["offset"])
        gain = jnp.where(second, params["gain"], jnp.zeros(58))
        answer = offset[None, None] + gain[None, None] * kept * (batch.speaker - state["mean"][None, None])
        loss = jnp.abs(answer - batch.listener).mean()
        return loss, ({"offset": jnp.abs(offset).mean()}, {**state, "updates": state["updates"] + 1})

    def answer(self, variables, inputs, num_reactions, *, keys):
        params, state = variables
        answer = params["offset"][None, None] + params["gain"][None, None] * (
            inputs.speaker - state["mean"][None, None]
        )
        noise = jax.vmap(lambda key: jax.random.normal(key, (num_reactions, *answer.shape[1:])))(keys)
        return answer[:, None] + 0.01 * noise
