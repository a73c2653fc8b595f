"""What the files of configs/ablations/ define: the variants of a table, and the paper's figures of them."""

from dataclasses import dataclass
from pathlib import Path

from reactface_jax.config_files import read_config_file, shipped_configs
from reactface_jax.errors import UserError

Published = tuple[float, float, float, float, float]
"""FRVar, FRDiv, FRRea, FRCorr and FRSyn, as Tables III to VII have them."""


@dataclass(frozen=True)
class Variant:
    """The model with something changed."""

    name: str
    overrides: tuple[str, ...]
    """Words that change fields of the configuration."""
    published: Published | None = None
    """The paper's row; None where it is not known which one it is."""


@dataclass(frozen=True)
class Ablation:
    """One table."""

    title: str
    variants: tuple[Variant, ...]
    """Besides the full model."""
    unassigned: tuple[Published, ...] = ()
    """Rows of the paper of which it is not known to which variants they belong."""


def load_ablation(name: str) -> Ablation:
    """Reads a set by its name or file. Raises `UserError` if there is none."""
    sets = shipped_configs() / "ablations"
    path = Path(name) if Path(name).is_file() else sets / f"{name.removesuffix('.py')}.py"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in sets.glob("*.py")))
        raise UserError(f"--set {name} is unknown; there are {known}")
    ablation = read_config_file(path)
    if not isinstance(ablation, Ablation):
        raise UserError(f"{path} must define `config = Ablation(...)` of reactface_jax.evaluation.ablation_sets")
    return ablation
