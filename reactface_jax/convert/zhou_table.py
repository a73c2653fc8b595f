"""The names of the released RLHG (ViCo's listener), its sizes from the shapes of a checkpoint, and the row of both."""

from reactface_jax.config.zhou import ZhouConfig
from reactface_jax.convert.converted_method import ConvertedMethod, template
from reactface_jax.convert.mapping import StateDict, normalise_names, shape_of, to_params
from reactface_jax.convert.tensor_layouts import DENSE, Entry, linear, norm
from reactface_jax.methods.learned import Variables
from reactface_jax.methods.zhou.network import NUM_LAYERS
from reactface_jax.methods.zhou.zhou import Zhou


def convert(state_dict: StateDict) -> ConvertedMethod:
    """The row, of any number of channels and audio features; the original's 45 features are not those of 16 kHz.

    The release's defects are on, since such weights were trained with them.

    Raises:
      UserError: it is another model's, keys are missing or unknown, a shape does not fit, or values are not finite.
    """
    names = normalise_names(state_dict)
    channels, width = shape_of(names, "dynam_3dmm_fc.weight", 2)
    input_width, features = shape_of(names, "fusion.fusion.0.weight", 2)
    config = ZhouConfig(
        channels=channels,
        audio_features=features - channels,
        input_width=input_width,
        width=width,
        released=True,
    )
    method = Zhou(config)
    shapes = template(method)
    params, report = to_params(names, table(), dict(shapes.params), {})
    return ConvertedMethod(method, Variables(params, method.start_state()), report, config)


def table() -> list[Entry]:
    """Entries of the whole model."""
    lstm = "fusion.lstm_layers.weight"
    return [
        *norm("fusion.layernorm_init", "first_norm"),
        *linear("fusion.get_initial_state.0", "first_linear"),
        *linear("fusion.get_initial_state.2", "first_state"),
        *norm("fusion.layernorm_driven", "speaker_norm"),
        *linear("fusion.fusion.0", "speaker_linear"),
        *(Entry(f"{lstm}_ih_l{i}", (f"input_{i}",), DENSE) for i in range(NUM_LAYERS)),
        *(Entry(f"{lstm}_hh_l{i}", (f"hidden_{i}",), DENSE) for i in range(NUM_LAYERS)),
        *linear("dynam_3dmm_fc", "out"),
    ]
