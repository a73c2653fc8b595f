"""The weights that come with the package: `rf.load_pretrained("listener")`."""

from importlib import resources
from pathlib import Path

from reactface_jax.errors import UserError
from reactface_jax.methods.listener import Control, Listener, load_weights

NAMES = ("listener",)


def load_pretrained(name: str = "listener", control: Control | None = None) -> Listener:
    """A `Listener` that is ready to answer.

    Args:
        name: of the weights; there is only `listener`.
        control: its knobs; by default those of the training, but for a guidance of 1.2.

    Raises:
        UserError: no such weights come with the package, or a knob is out of range.
    """
    if name not in NAMES:
        raise UserError(f"no weights called {name} come with the package; there is {', '.join(NAMES)}")
    with resources.as_file(resources.files("reactface_jax") / "assets" / "listener.safetensors") as path:
        return Listener(load_weights(Path(path)), (control or Control()).checked())
