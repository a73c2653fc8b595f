"""The names of the released "Let's Face It", its sizes from the shapes of a checkpoint, and the row of both."""

import jax.numpy as jnp
import numpy as np

from reactface_jax.config.lfi import LfiConfig
from reactface_jax.convert.converted_method import ConvertedMethod, template
from reactface_jax.convert.mapping import StateDict, as_numpy, normalise_names, shape_of, to_params, without_prefix
from reactface_jax.convert.tensor_layouts import DENSE, SAME, Entry, Layout
from reactface_jax.convert.wav2vec2_table import count_layers
from reactface_jax.errors import UserError
from reactface_jax.methods.learned import Variables
from reactface_jax.methods.lfi.lfi import Lfi
from reactface_jax.methods.lfi.network import OWN_SPEECH_WIDTH

_LAYERS = "glow.flow.layers."
_ENCODERS = "feature_encoder."
_MISMATCHED = "last_missmatched_nll"
"""Despite its name a log-likelihood; the one key that may be infinite, or missing."""
_ROW = Layout(lambda x: [x.reshape(-1)], lambda xs: xs[0][None])  # [1, C]


def convert(state_dict: StateDict) -> ConvertedMethod:
    """The row, of any number of channels, with own speech or without; `seq_glow.` and `module.` may stand in front.

    How many frames of the other person are seen follows from no shape and is the release's. The release's defect is on,
    since such weights were trained with it; answers are the same with and without.

    Raises:
      UserError: it is another model's, keys are missing or unknown, a shape does not fit, or values are not finite.
    """
    names = without_prefix(normalise_names(state_dict), "seq_glow.")
    last = names.pop(_MISMATCHED, None)
    config = infer_config(names)
    method = Lfi(config)
    shapes = template(method)
    trees, report = to_params(
        names, table(config), {"params": dict(shapes.params), "fixed": dict(shapes.state["fixed"])}, {}
    )
    for name, parts in trees["fixed"].items():
        permutation = np.asarray(parts["permutation"])
        if not np.array_equal(permutation @ permutation.T, np.eye(len(permutation))) or permutation.min() < 0:
            index = name.removeprefix("step_")
            raise UserError(f"{_LAYERS}{index}.invconv.p is no permutation; the checkpoint is damaged")
    state = method.start_state(trees["fixed"]) | {"has_actnorm": jnp.ones((), bool)}
    if last is not None:
        state["mismatched_log_likelihood"] = _log_likelihood(last)
    return ConvertedMethod(method, Variables(trees["params"], state), report, config)


def infer_config(names: StateDict) -> LfiConfig:
    """The sizes of a state dict with normalised names."""

    def shape(name: str, num_axes: int = 2) -> tuple[int, ...]:
        return shape_of(names, name, num_axes)

    channels = shape(f"{_LAYERS}0.actnorm.bias")[1]
    face = shape(f"{_ENCODERS}p2_face_encoder.encoder.weight_hh_l0")[1]
    speech = shape(f"{_ENCODERS}p2_speech_encoder.encoder.weight_hh_l0")[1]
    condition, seen = shape(f"{_LAYERS}0.f.cond_transform.0.weight")
    own_speech = any(name.startswith(f"{_ENCODERS}p1_speech_encoder.") for name in names)
    history = seen - 2 * (face + speech + (OWN_SPEECH_WIDTH if own_speech else 0))
    if channels == 0 or history <= 0 or history % channels:
        raise UserError(
            f"this is another model's state dict: {_LAYERS}0.f.cond_transform.0.weight takes {seen} numbers, "
            f"which leaves no whole frames of {channels} channels"
        )
    return LfiConfig(
        channels=channels,
        history=history // channels,
        face_width=face,
        speech_width=speech,
        flow_steps=count_layers(names, _LAYERS),
        condition_width=condition,
        hidden_width=shape(f"{_LAYERS}0.f.rnn.weight_hh")[1],
        own_speech=own_speech,
        released=True,
    )


def table(config: LfiConfig) -> list[Entry]:
    """Entries of the whole model, of parameters and of what is fixed."""
    encoders = {"p2_face": "face", "p2_speech": "speech"} | ({"p1_speech": "own_speech"} if config.own_speech else {})
    entries = []
    for theirs, ours in encoders.items():
        entries += _gru(f"{_ENCODERS}{theirs}_encoder.encoder.{{}}_l0", f"params/{ours}_encoder")
    for index in range(config.flow_steps):
        source, target, fixed = f"{_LAYERS}{index}", f"params/step_{index}", f"fixed/step_{index}"
        entries += [
            Entry(f"{source}.actnorm.bias", (f"{target}/actnorm_bias",), _ROW),
            Entry(f"{source}.actnorm.logs", (f"{target}/actnorm_logs",), _ROW),
            Entry(f"{source}.invconv.l", (f"{target}/lower",), SAME),
            Entry(f"{source}.invconv.u", (f"{target}/upper",), SAME),
            Entry(f"{source}.invconv.log_s", (f"{target}/log_scale",), SAME),
            Entry(f"{source}.invconv.p", (f"{fixed}/permutation",), SAME),
            Entry(f"{source}.invconv.sign_s", (f"{fixed}/sign",), SAME),
            *_gru(f"{source}.f.rnn.{{}}", f"{target}/gru"),
            Entry(f"{source}.f.cond_transform.0.weight", (f"{target}/condition_kernel",), DENSE),
            Entry(f"{source}.f.cond_transform.0.bias", (f"{target}/condition_bias",), SAME),
            Entry(f"{source}.f.final_linear.weight", (f"{target}/final_kernel",), DENSE),
            Entry(f"{source}.f.final_linear.bias", (f"{target}/final_bias",), SAME),
            Entry(f"{source}.f.final_linear.logs", (f"{target}/final_logs",), SAME),
        ]
    return entries


def _gru(source: str, target: str) -> list[Entry]:
    return [
        Entry(source.format("weight_ih"), (f"{target}/input_kernel",), DENSE),
        Entry(source.format("weight_hh"), (f"{target}/hidden_kernel",), DENSE),
        Entry(source.format("bias_ih"), (f"{target}/input_bias",), SAME),
        Entry(source.format("bias_hh"), (f"{target}/hidden_bias",), SAME),
    ]


def _log_likelihood(value: object) -> jnp.ndarray:
    """Of any shape with one number; a training without such batches so far has infinity."""
    number = float(np.asarray(value, np.float32).reshape(-1)[0])
    if number == np.inf:
        return jnp.asarray(number, jnp.float32)
    return jnp.asarray(as_numpy(_MISMATCHED, np.asarray(number)))
