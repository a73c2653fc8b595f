"""Reactions as they are generated: the protocols over a clip, the stream, a live conversation."""
