"""Why ReactFace does or does not react: the same network on the speaker's true coefficients, trained in several ways.

    python benchmarks/reactface_causes.py --variants demo weights own-frame --seeds 2

Where the pictures' convolutions stand, a linear map of the speaker's true coefficients stands here, without sound:
what the eyes miss is no excuse, and a training takes minutes. Before them come the delayed mirror and the nearest
neighbour by motion, which learn from the same clips. Prints a line a variant
and seed: FRCorr with its 95 % interval over scripts and that of the difference from the nearest neighbour's, FRCorr
while listening, FRVar, FRDiv and how much of it is an offset, movement inside windows, border step, answered events
and their delay.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jaxtyping import Array, Float, Int

from data_pipeline.dyads import Played, Recipe, play
from data_pipeline.dyads.ceilings import listening
from data_pipeline.dyads.conversations import Conversation
from data_pipeline.dyads.scripts import ROLES
from reactface_jax import losses
from reactface_jax.config import Config, load_config
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.methods import Inputs
from reactface_jax.methods.delayed_mirror import DelayedMirror
from reactface_jax.methods.nearest_segment import NearestSegment
from reactface_jax.metrics.bootstrap import interval, resamplings
from reactface_jax.metrics.diversity import variance_over_time, within_clips
from reactface_jax.metrics.events import Event
from reactface_jax.metrics.groups import by_name
from reactface_jax.metrics.listening import while_listening
from reactface_jax.metrics.reacting import Known, measure_reacting, reacting_figures
from reactface_jax.models.listener import Listener
from reactface_jax.models.reactface import ReactFace
from reactface_jax.models.speaker_encoder import SpeakerEncoder
from reactface_jax.types import AnyArray

_FREE = "--model.bias-period 1 --model.face-alignment point_to_point --model.alignment point_to_point"
_MEMORY = f"--model.past window {_FREE} --model.memory past"
_PLAIN = "--loss.pose 1 --loss.diversity 0 --train.num-reactions 1"
_VARIETY = f"--loss.pose 1 --loss.diversity 0 --loss.nearest reaction --train.num-reactions 8 {_MEMORY}"
VARIANTS: Mapping[str, str] = {
    "demo": "",
    "pose": "--loss.pose 1",
    "no-diversity": "--loss.diversity 0 --train.num-reactions 1",
    "weights": _PLAIN,
    "past": f"{_PLAIN} --model.past window",
    "period-4": f"{_PLAIN} --model.past window --model.window 8 --train.window 8 --model.period 4",
    "period-2": f"{_PLAIN} --model.past window --model.window 8 --train.window 8 --model.period 2",
    "window-4": f"{_PLAIN} --model.past window --model.window 4 --train.window 4 --model.period 4",
    "bias-1": f"{_PLAIN} --model.past window --model.bias-period 1",
    "window-before": f"{_PLAIN} --model.past window --model.bias-period 1 --model.sync-memory previous",
    "together": f"{_PLAIN} --model.past window --loss.nearest together",
    "own-frame": f"{_PLAIN} --model.past window {_FREE}",
    "memory": f"{_PLAIN} {_MEMORY}",
    "smooth": f"{_PLAIN} {_MEMORY} --loss.smooth 1000",
    "variety": _VARIETY,
    "variety-course": f"{_VARIETY} --loss.diversity-of course",
    "own-latent": f"{_VARIETY} --loss.diversity-of course --model.latent-alignment point_to_point --model.momentum 0.5",
    "course": f"--loss.pose 1 --loss.nearest together --loss.diversity-of course --loss.diversity 1 {_MEMORY}",
}
"""What a variant changes of configs/demo.py."""

_FIGURES = (
    "FRCorr_listening",
    "offset_share",
    "inside_windows",
    "border_step",
    "smile_answered",
    "brow_raise_answered",
    "frown_answered",
    "answer_delay",
    "answer_delay_deviation",
    "uncalled_per_second",
)


@dataclass(frozen=True)
class Arguments:
    """Data, trainings, and how they are measured."""

    variants: tuple[str, ...] = tuple(VARIANTS)
    """Names of VARIANTS."""
    more: str = ""
    """Words that change every variant's configuration."""
    seeds: int = 1
    steps: int = 1500
    batch_size: int = 8
    clips: int = 240
    seconds: float = 8.0
    reactions: int = 4


class _Seen(nn.Module):
    """Coefficients in the place of F-Enc's features."""

    width: int

    @nn.compact
    def __call__(self, seen: Float[Array, "B T 1 1 C"], lengths: Int[AnyArray, " B"] | None) -> Float[Array, "B T D"]:
        return nn.Dense(self.width)(seen[:, :, 0, 0])


class _SeeingEncoder(SpeakerEncoder):
    """The speaker's encoder without eyes."""

    def setup(self) -> None:
        self.video_encoder = _Seen(self.feature_dim)
        self.face_decoder = self._decoder()
        self.speaker_decoder = self._decoder()
        self.speaker_map = nn.Dense(len(COEFFICIENT_NAMES), kernel_init=nn.initializers.zeros)
        self.drop = nn.Dropout(self.dropout)


class _SeeingReactFace(ReactFace):
    """ReactFace that is given the speaker's coefficients."""

    def setup(self) -> None:
        c = self.config
        self.listener = Listener(c)
        self.speaker_encoder = _SeeingEncoder(
            c.feature_dim,
            c.period,
            c.bias_unit,
            c.num_heads,
            c.audio,
            use_audio=False,
            dropout=c.dropout,
            memory=c.memory,
        )


def main(arguments: Arguments) -> None:
    """Prints the table."""
    recipe = Recipe(arguments.clips, arguments.seconds, 0, 2, (256, 256), None)
    train, test = (play(recipe, split, sound=False, workers=1) for split in ("train", "test"))
    known = _known(test)
    names: list[str] = []
    nearest: list[Float[np.ndarray, " R"]] = []

    def say(name: str, seed: str, prediction: Float[np.ndarray, "N K T C"], window: int, start: float) -> None:
        correlation = _correlation(prediction, test)
        drawn = _draws(correlation, known.groups)
        if name == "NN motion":
            nearest.append(drawn)
        low, high = interval(drawn)
        least, most = interval(drawn - nearest[0]) if nearest else (np.nan, np.nan)
        figures = {"FRCorr": float(correlation.mean()), "low": low, "high": high, "above NN": least, "at most": most}
        figures |= _figures(prediction, test, replace(known, window=window))
        if not names:
            names.extend(figures)
            print("| variant | seed | " + " | ".join(names) + " | seconds |")
            print("|---" * (len(names) + 3) + "|")
        cells = [f"{figures[each]:.4g}" for each in names]
        print(f"| {name} | {seed} | " + " | ".join(cells) + f" | {time.perf_counter() - start:.0f} |", flush=True)

    for simple in (DelayedMirror(), NearestSegment()):
        start = time.perf_counter()
        fitted = simple.fit_to_pairs(Inputs(train.speaker), train.listener)
        say(fitted.name, "-", fitted.generate(Inputs(test.speaker), key=jax.random.key(0)), 16, start)
    for name in arguments.variants:
        for seed in range(arguments.seeds):
            words = [*VARIANTS[name].split(), *arguments.more.split(), "--train.seed", str(seed)]
            config = load_config("demo", ["--model.no-use-audio", *words])
            start = time.perf_counter()
            config = replace(
                config, train=replace(config.train, steps=arguments.steps, batch_size=arguments.batch_size)
            )
            prediction = answers(config, train, test, arguments.reactions)
            say(name, str(seed), prediction, config.model.window, start)


def answers(config: Config, train: Played, test: Played, count: int) -> Float[np.ndarray, "N K T C"]:
    """Trains on windows of the training clips and answers the test clips by the configuration's protocol."""
    mean = train.listener.mean((0, 1))
    spread = train.speaker.std((0, 1)) + 0.05
    seen = [(each.speaker - train.speaker.mean((0, 1))) / spread for each in (train, test)]
    model = _SeeingReactFace(replace(config.model, window=config.train.window))
    frames, batch = config.data.clip_frames, config.train.batch_size
    silence = jnp.zeros((batch, frames * 640))
    key = jax.random.key(config.train.seed)
    params = jax.jit(model.init)(
        {"params": key, "sample": key}, jnp.zeros((batch, frames, 1, 1, seen[0].shape[-1])), silence
    )["params"]
    o = config.optimizer
    rate = optax.warmup_cosine_decay_schedule(0, o.learning_rate, o.warmup_steps, config.train.steps)
    optimizer = optax.chain(
        optax.clip_by_global_norm(o.clip_norm), optax.adamw(rate, o.b1, o.b2, weight_decay=o.weight_decay)
    )
    neighbours = [np.flatnonzero(row) for row in train.neighbours]
    most = max(map(len, neighbours)) if config.loss.target == "appropriate" else 1

    def loss(params: dict, video: Array, speaker: Array, targets: Array, key: Array) -> Array:
        reactions = model.apply(
            {"params": params},
            video[:, :, None, None],
            silence,
            num_reactions=config.train.num_reactions,
            deterministic=False,
            rngs={"sample": key, "dropout": key},
        )
        return losses.total(reactions, speaker, targets, weights=config.loss)[0]

    @jax.jit
    def step(params: dict, state: optax.OptState, index: Array, *batch: Array) -> tuple[dict, optax.OptState, Array]:
        value, gradient = jax.value_and_grad(loss)(params, *batch, jax.random.fold_in(key, index))
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    state = optimizer.init(params)
    rng = np.random.default_rng(config.train.seed)
    for index in range(config.train.steps):
        rows = rng.integers(len(train.speaker), size=batch)
        spans = [slice(a, a + frames) for a in rng.integers(train.speaker.shape[1] - frames + 1, size=batch)]
        targets = np.stack(
            [
                np.stack([train.listener[n, s] for n in np.resize(_first(row, neighbours[row]), most)])
                for row, s in zip(rows, spans, strict=True)
            ]
        )
        video, speaker = (
            np.stack([x[r, s] for r, s in zip(rows, spans, strict=True)]) for x in (seen[0], train.speaker)
        )
        params, state, value = step(params, state, index, video, speaker - mean, targets - mean)
        if index % 300 == 0:
            print(f"<!-- step {index}: {value:.4f} -->", flush=True)
    return np.asarray(_react(_SeeingReactFace(config.model), config, params, seen[1], count)) + mean


def _first(row: int, neighbours: Int[np.ndarray, " M"]) -> list[int]:
    return [row, *(int(n) for n in neighbours if n != row)]


def _react(model: ReactFace, config: Config, params: dict, seen: Float[np.ndarray, "N T C"], count: int) -> Array:
    protocol = {"clip": lambda m, v, a, n: m.react_to_clip(m.encode(v, a), n)[0]}.get(
        config.eval.protocol, lambda m, v, a, n: m.react_to_prefixes(v, a, n)[0]
    )
    react = jax.jit(lambda v, a, n: model.apply({"params": params}, v, a, n, method=protocol))
    width, parts = config.model.window, []
    for first in range(0, len(seen), 16):
        video = jnp.asarray(seen[first : first + 16])[:, :, None, None]
        shape = (len(video), count, -(-video.shape[1] // width), config.model.feature_dim)
        noise = jax.random.normal(jax.random.key(first), shape)
        parts.append(react(video, jnp.zeros((len(video), video.shape[1] * 640)), noise))
    return jnp.concatenate(parts)


def _correlation(prediction: Float[np.ndarray, "N K T C"], test: Played) -> Float[np.ndarray, " N"]:
    """FRCorr of each clip."""
    always = np.ones(test.speaker.shape[:2], bool)
    return 10 * while_listening(prediction, test.listener, test.neighbours, always).mean(1)


def _draws(correlation: Float[np.ndarray, " N"], groups: Int[np.ndarray, " N"]) -> Float[np.ndarray, " R"]:
    """Its mean over resampled scripts, the same ones for every row."""
    counts = resamplings(groups)
    return counts @ correlation / counts.sum(1)


def _figures(prediction: Float[np.ndarray, "N K T C"], test: Played, known: Known) -> dict[str, float]:
    reacting = reacting_figures(measure_reacting(prediction, test.speaker, test.listener, test.neighbours, known))
    return {
        "FRVar": float(variance_over_time(prediction).mean()),
        "FRDiv": float(within_clips(prediction).mean()),
        **{name: reacting[name] for name in _FIGURES if name in reacting},
    }


def _known(test: Played) -> Known:
    return Known(
        groups=by_name([c.script_id for _ in ROLES for c in test.conversations]),
        names=COEFFICIENT_NAMES,
        listening=listening(test.conversations),
        events=[_events(c, role) for role in ROLES for c in test.conversations],
        own_events=[_events(c, 1 - role) for role in ROLES for c in test.conversations],
    )


def _events(conversation: Conversation, role: int) -> Sequence[Event]:
    return [Event(e.kind, e.start, e.length, e.side) for e in conversation.script.events[role]]


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main(tyro.cli(Arguments, description=__doc__))
