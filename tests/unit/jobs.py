"""Jobs for the tests of those who do them. Worker processes import this file, so it imports little."""

import os
from dataclasses import dataclass
from pathlib import Path

from reactface_jax.errors import UserError


@dataclass(frozen=True)
class Write:
    path: Path

    def run(self) -> None:
        self.path.write_text(str(os.getpid()))


@dataclass(frozen=True)
class Die:
    def run(self) -> None:
        os._exit(1)


@dataclass(frozen=True)
class Refuse:
    number: int

    def run(self) -> None:
        raise UserError(f"job {self.number} can't be done")
