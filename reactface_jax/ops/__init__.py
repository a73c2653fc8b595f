"""Kernels: convolution, pooling and matrix products in the form that is fastest on each backend."""
