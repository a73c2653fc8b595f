"""What avatars are driven by: one file a protocol, from one frame of a reaction to the bytes on the wire."""

from reactface_jax.live.senders.open_sender import PROTOCOLS, Sender, open_sender

__all__ = ["PROTOCOLS", "Sender", "open_sender"]
