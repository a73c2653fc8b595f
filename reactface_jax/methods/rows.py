"""Which row of the table is which method: those that learn by steps, by the name that `config.method` has."""

from collections.abc import Callable, Mapping

from reactface_jax.config import Config
from reactface_jax.errors import UserError
from reactface_jax.methods.belfusion.belfusion import Belfusion
from reactface_jax.methods.learned import LearnedMethod
from reactface_jax.methods.lfi.lfi import Lfi
from reactface_jax.methods.ng.ng import Ng
from reactface_jax.methods.trans_ae import TransAe
from reactface_jax.methods.trans_vae.trans_vae import TransVae
from reactface_jax.methods.zhou.zhou import Zhou

ROWS: Mapping[str, Callable[[Config], LearnedMethod]] = {
    "trans-ae": TransAe,
    "lfi": lambda config: Lfi(config.lfi),
    "zhou": lambda config: Zhou(config.zhou),
    "ng": lambda config: Ng(config.ng),
    "trans-vae": lambda config: TransVae(config.trans_vae),
    "belfusion": lambda config: Belfusion(config.belfusion),
}
"""A line a row. ReactFace itself is none of them: training, evaluation and `react` know its protocols."""


def learned_method(config: Config) -> LearnedMethod:
    """The row of a configuration whose method is not ReactFace. Raises `UserError` if it is none of `ROWS`."""
    if config.method not in ROWS:
        raise UserError(f"--method {config.method} can't be trained here; give reactface or {', '.join(ROWS)}")
    return ROWS[config.method](config)


def picture_size(config: Config) -> int:
    """Height and width of the frames that a configuration's method sees; 0 if it sees none."""
    sees = config.method == "reactface" or "video" in learned_method(config).needs
    return config.data.image_size if sees else 0
