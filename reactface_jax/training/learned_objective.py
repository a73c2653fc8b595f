"""A row that learns by steps as the training loop sees it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from reactface_jax import losses
from reactface_jax.config import Config
from reactface_jax.errors import UserError
from reactface_jax.methods.learned import LearnedMethod, Variables, seen
from reactface_jax.models.precision import exact_products, products
from reactface_jax.training.accumulation import averaged
from reactface_jax.training.objective import Objective
from reactface_jax.training.sharding import gathered
from reactface_jax.training.state import Params, stream
from reactface_jax.training.training_log import Metrics
from reactface_jax.types import Batch


def learned_objective(method: LearnedMethod, config: Config) -> Objective:
    """Of any row. Raises `UserError` if batches are to be cut and the row's state depends on whole ones."""
    parts = config.train.accumulate
    if parts > 1 and jax.tree.leaves(jax.eval_shape(method.init, jax.random.key(0)).state):
        raise UserError(
            f"--train.accumulate {parts} is not for {method.name}, which keeps statistics of whole batches; set it to 1"
        )

    def part_gradient(
        variables: Variables, batch: Batch, key: PRNGKeyArray, step: Array
    ) -> tuple[Metrics, Params, Params]:
        def loss_fn(params: Params) -> tuple[Array, tuple[Metrics, Params]]:
            whole = Variables(gathered(params, has_rules=False), variables.state)
            loss, (metrics, state) = method.loss(whole, batch, key=key, step=step)
            return loss, ({"loss": loss, **metrics}, state)

        with products(config.model, training=True):
            gradients, (metrics, state) = jax.grad(loss_fn, has_aux=True)(variables.params)
        return metrics, gradients, state

    def gradient(variables: Variables, batch: Batch, key: PRNGKeyArray, step: Array) -> tuple[Metrics, Params, Params]:
        key = stream(key, "loss", step)
        if parts == 1:
            return part_gradient(variables, batch, key, step)

        def of_part(index: Array, some_clips: Batch) -> tuple[Metrics, Params]:
            return part_gradient(variables, some_clips, jax.random.fold_in(key, index), step)[:2]

        return *averaged(of_part, parts, batch), variables.state

    root = jax.random.key(config.eval.seed)

    def answer(variables: Variables, batch: Batch) -> tuple[Metrics, Array]:
        keys = jax.vmap(lambda row: jax.random.fold_in(root, row))(jnp.asarray(batch.clip))
        variables = Variables(gathered(variables.params, has_rules=False), variables.state)
        with exact_products():  # as in use
            reactions = method.answer(variables, seen(batch, method.needs), config.eval.num_reactions, keys=keys)
        distance = losses.distance(reactions[:, 0], batch.listener, batch.clip >= 0, pose_weight=config.loss.pose)
        return {"loss": distance}, reactions

    return Objective(
        init=method.init,
        gradient=gradient,
        answer=answer,
        optimizer=method.optimizer(),
        frozen=tuple(getattr(method, "frozen", ())),
        learning_rate=getattr(method, "learning_rate", None),
        stages=method.stages,
        begin=method.begin,
        has_rules=False,
    )
