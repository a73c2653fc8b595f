"""Trans-AE: ReactFace's speaker encoder, and a decoder that answers with one reaction, the likeliest mean of all."""

from reactface_jax.methods.trans_ae.method import TransAe

__all__ = ["TransAe"]
