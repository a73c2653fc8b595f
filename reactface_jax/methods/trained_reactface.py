"""ReactFace with what it has learnt, as a method: raw coefficients, any of its protocols."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Key, UInt8

from reactface_jax.all_devices import AllDevices, fetched
from reactface_jax.errors import UserError
from reactface_jax.media.normalisation import normalise
from reactface_jax.methods.method import Inputs, check_inputs
from reactface_jax.methods.variables import check_shapes
from reactface_jax.models.reactface import ReactFace
from reactface_jax.online.generation import Protocol, check_protocol, generate, generate_online
from reactface_jax.ops.pixels import to_unit_range
from reactface_jax.types import SAMPLES_PER_FRAME, AnyArray


@dataclass(frozen=True, eq=False)
class TrainedReactFace:
    """Raises `UserError` if the parameters are another configuration's, or the model has no such protocol."""

    model: ReactFace
    params: Any = field(repr=False)
    mean_face: Float[np.ndarray, " C"] = field(repr=False)
    """Of the training's data."""
    image_size: int
    """Of the frames."""
    protocol: Protocol
    name: str = "ReactFace"
    needs: tuple[str, ...] = ("video", "audio")

    def __post_init__(self) -> None:
        check_protocol(self.model, self.protocol)
        frames, size = self.model.config.window, self.image_size
        video = jax.ShapeDtypeStruct((1, frames, size, size, 3), jnp.float32)
        audio = jax.ShapeDtypeStruct((1, frames * SAMPLES_PER_FRAME), jnp.float32)
        keys = {"params": jax.random.key(0), "sample": jax.random.key(0)}
        expected = jax.eval_shape(self.model.init, keys, video, audio)["params"]
        check_shapes(expected, self.params, "the --model fields")

    def generate(
        self, inputs: Inputs, num_reactions: int = 1, *, key: Key[AnyArray, ""]
    ) -> Float[np.ndarray, "N K T C"]:
        """K reactions to each speaker. Raises `UserError` if picture or voice is missing."""
        video, audio = _seen(inputs)
        audio = np.stack([normalise(np.asarray(voice, np.float32)) for voice in audio])
        return self._generate(video, audio, num_reactions, key=key)

    def answer(self, inputs: Inputs, num_reactions: int, *, keys: Key[AnyArray, " N"]) -> Float[np.ndarray, "N K T C"]:
        """As `generate`, with a key a clip and a voice that is normalised over its file."""
        video, audio = _seen(inputs)
        config = self.model.config
        shape = (num_reactions, -(-video.shape[1] // config.window), config.feature_dim)
        noise = jax.vmap(lambda own: jax.random.normal(own, shape, jnp.float32))(keys)
        return self._generate(video, audio, num_reactions, noise=noise)

    def on(self, devices: AllDevices) -> "TrainedReactFace":
        """The same with its parameters on all devices, for inputs that they share."""
        return dataclasses.replace(self, params=devices.everywhere(self.params))

    def watch(
        self,
        frames: Iterable[UInt8[np.ndarray, "H W 3"]],
        voice: Float[np.ndarray, " L"],
        num_reactions: int,
        seed: int,
    ) -> Float[np.ndarray, "K T C"]:
        """Answers one video; a causal model by the protocol `stream` never holds more than some windows of it."""
        key = jax.random.key(seed)
        if self.protocol != "stream":
            return self.generate(Inputs(audio=voice[None], video=np.stack(list(frames))[None]), num_reactions, key=key)[
                0
            ]
        reactions = generate_online(
            self.model,
            self.params,
            frames,
            normalise(voice),
            len(voice) // SAMPLES_PER_FRAME,
            num_reactions=num_reactions,
            key=key,
        )
        return reactions + self.mean_face

    def _generate(self, video: AnyArray, audio: AnyArray, num_reactions: int, **how: Any) -> np.ndarray:
        protocol = self.protocol
        reactions = generate(
            self.model, self.params, to_unit_range(video), audio, protocol=protocol, num_reactions=num_reactions, **how
        )
        return fetched(reactions).astype(np.float32) + self.mean_face


def _seen(inputs: Inputs) -> tuple[AnyArray, AnyArray]:
    check_inputs(inputs)
    if inputs.video is None or inputs.audio is None:
        raise UserError("ReactFace needs the speaker's picture and voice; give both")
    return inputs.video, inputs.audio
