"""VMC, the Virtual Motion Capture protocol: OSC over UDP, as VSeeFace, Warudo and VRM players take it.

A frame's 52 shapes are more than a network's packet, so each is several bundles below 1,400 bytes, the last of which
holds `/VMC/Ext/Blend/Apply`.
"""

from collections.abc import Iterable, Sequence

from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from reactface_jax.live.senders.pose import Pose
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES

PORT = 39539
_LARGEST = 1400
_HEAD_ABOVE_NECK = 0.08
"""Where most avatars have the head's bone over the neck's (m): receivers that apply places want one."""


class Vmc:
    """Writes bundles for one avatar.

    Args:
      capital: `JawOpen` instead of `jawOpen`, which some avatars want.
    """

    def __init__(self, *, capital: bool = False) -> None:
        self._names = [name[0].upper() + name[1:] if capital else name for name in ARKIT_NAMES]

    def packets(self, pose: Pose) -> list[bytes]:
        x, y, z, w = map(float, pose.quaternion)
        messages = [
            _message("/VMC/Ext/OK", 1),
            _message("/VMC/Ext/T", pose.number / pose.frame_rate),
            _message("/VMC/Ext/Root/Pos", "root", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
            # Unity's axes: x to the person's right, so that turns about y and z change their sign.
            _message("/VMC/Ext/Bone/Pos", "Head", 0.0, _HEAD_ABOVE_NECK, 0.0, x, -y, -z, w),
            *(
                _message("/VMC/Ext/Blend/Val", name, float(weight))
                for name, weight in zip(self._names, pose.weights, strict=True)
            ),
            _message("/VMC/Ext/Blend/Apply"),
        ]
        return list(_bundles(messages))


def _message(address: str, *values: str | float | int) -> OscMessage:
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    return builder.build()


def _bundles(messages: Sequence[OscMessage]) -> Iterable[bytes]:
    """As few bundles as stay below the size: 16 bytes of header, four and its own length a message."""
    bundle, size = OscBundleBuilder(IMMEDIATELY), 16
    for message in messages:
        if size + 4 + message.size > _LARGEST:
            yield bundle.build().dgram
            bundle, size = OscBundleBuilder(IMMEDIATELY), 16
        bundle.add_content(message)
        size += 4 + message.size
    yield bundle.build().dgram
