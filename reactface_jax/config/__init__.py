"""The configuration of an experiment: its fields with their ranges (fields.py) and how it is read (reading.py)."""

from reactface_jax.config.fields import (
    AudioConfig,
    Config,
    DataConfig,
    EvalConfig,
    HostsConfig,
    LossConfig,
    MeshConfig,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
)
from reactface_jax.config.reading import (
    FIELD,
    apply_overrides,
    check_names,
    config_from_json,
    differences,
    load_config,
)

__all__ = [
    "FIELD",
    "AudioConfig",
    "Config",
    "DataConfig",
    "EvalConfig",
    "HostsConfig",
    "LossConfig",
    "MeshConfig",
    "ModelConfig",
    "OptimizerConfig",
    "TrainConfig",
    "apply_overrides",
    "check_names",
    "config_from_json",
    "differences",
    "load_config",
]
