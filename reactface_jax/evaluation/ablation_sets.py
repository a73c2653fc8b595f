"""What the files of configs/ablations/ define: the variants of a table, and the paper's figures of them."""

from dataclasses import dataclass
from pathlib import Path

from reactface_jax.config import read_config_file
from reactface_jax.errors import UserError

SETS = Path("configs/ablations")

Published = tuple[float, float, float, float, float]
"""FRVar, FRDiv, FRRea, FRCorr and FRSyn, as Tables III to VII have them."""


@dataclass(frozen=True)
class Variant:
    """The model with something changed."""

    name: str
    overrides: tuple[str, ...]
    """Words of train.py's command line."""
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
    path = Path(name) if name.endswith(".py") else SETS / f"{name}.py"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in SETS.glob("*.py"))) or f"none, since {SETS} is not here"
        raise UserError(f"--set {name} is unknown; there are {known}")
    ablation = read_config_file(path)
    if not isinstance(ablation, Ablation):
        raise UserError(f"{path} must define `config = Ablation(...)` of reactface_jax.evaluation.ablation_sets")
    return ablation
