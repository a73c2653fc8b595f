"""Trained rows that are ready to answer: raw coefficients in and out, the voice at any level, lost faces held."""

import functools
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from reactface_jax.errors import UserError
from reactface_jax.media.normalisation import normalise
from reactface_jax.methods.learned import LearnedMethod, Variables
from reactface_jax.methods.method import Inputs, check_inputs, seen_speaker
from reactface_jax.methods.variables import check_shapes
from reactface_jax.models.precision import exact_products
from reactface_jax.online.draws import check_draws, check_key
from reactface_jax.types import AnyArray


@dataclass(frozen=True, eq=False)
class Ready:
    """A row with what it has learnt. Raises `UserError` if its variables are another configuration's."""

    method: LearnedMethod
    variables: Variables = field(repr=False)
    mean_face: Float[np.ndarray, " C"] = field(repr=False)
    """Of the training's data."""
    image_size: int = 0
    """Of the frames that it sees; 0: none."""

    def __post_init__(self) -> None:
        check_shapes(jax.eval_shape(self.method.init, jax.random.key(0)), self.variables, f"the {self.name} fields")

    @property
    def name(self) -> str:
        return self.method.name

    @property
    def needs(self) -> tuple[str, ...]:
        return self.method.needs

    def generate(
        self, inputs: Inputs, num_reactions: int = 1, *, key: Key[AnyArray, ""]
    ) -> Float[np.ndarray, "N K T C"]:
        """K reactions to each speaker.

        Raises `UserError` if something that it needs is missing, there is no reaction, or the key is none.
        """
        self._check(inputs)
        check_draws(num_reactions)
        check_key(key)
        if inputs.audio is not None:
            inputs = inputs._replace(
                audio=np.stack([normalise(np.asarray(voice, np.float32)) for voice in inputs.audio])
            )
        count = len(getattr(inputs, self.needs[0]))
        keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(count))
        return self.answer(inputs, num_reactions, keys=keys)

    def answer(self, inputs: Inputs, num_reactions: int, *, keys: Key[AnyArray, " N"]) -> Float[np.ndarray, "N K T C"]:
        """As `generate`, with a key a clip and a voice that is normalised over its file."""
        self._check(inputs)
        seen = Inputs(**{name: getattr(inputs, name) for name in self.needs})
        if "speaker" in self.needs:
            speaker = held(seen_speaker(inputs, self.name), self.mean_face)
            seen = seen._replace(speaker=(speaker - self.mean_face).astype(np.float32))
        reactions = _answer(self.method, self.variables, seen, num_reactions, keys)
        return np.asarray(reactions, np.float32) + self.mean_face

    def _check(self, inputs: Inputs) -> None:
        check_inputs(inputs)
        missing = [name for name in self.needs if getattr(inputs, name) is None]
        if missing:
            raise UserError(f"{self.name} needs the speaker's {_WORDS[missing[0]]}; give what it was trained on")


_WORDS = {"speaker": "coefficients", "audio": "voice", "video": "picture"}


def held(
    speaker: Float[np.ndarray, "N T C"], mean_face: Float[np.ndarray, " C"] | None = None
) -> Float[np.ndarray, "N T C"]:
    """Frames with NaN are the last one that was seen, before the first that one, and the mean face if none was.

    Without a mean face that is zero.
    """
    seen = np.isfinite(speaker).all(-1)  # N T
    last = np.maximum.accumulate(np.where(seen, np.arange(seen.shape[1])[None], -1), axis=1)
    last = np.where(last < 0, seen.argmax(1)[:, None], last)
    taken = np.take_along_axis(speaker, last[..., None], axis=1)
    return np.where(seen.any(1)[:, None, None], taken, speaker.dtype.type(0) if mean_face is None else mean_face)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _answer(
    method: LearnedMethod, variables: Variables, inputs: Inputs, num_reactions: int, keys: Key[Array, " N"]
) -> Float[Array, "N K T C"]:
    with exact_products():
        return method.answer(variables, inputs, num_reactions, keys=keys)
