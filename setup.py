"""Configurations and cards lie beside the package in the repository, inside it in a wheel. All else: pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["reactface_jax*", "data_pipeline*"]),
        "reactface_jax.configs",
        "reactface_jax.configs.ablations",
        "reactface_jax.cards",
        "reactface_jax.configs.methods",
    ],
    package_dir={"reactface_jax.configs": "configs", "reactface_jax.cards": "docs/cards"},
)
