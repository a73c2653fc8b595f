"""Random damage of checkpoints: never wrong numbers, never a traceback."""

from pathlib import Path

import numpy as np

from benchmarks.attack_checkpoints import attack, make_run


def test_damaged_checkpoints_are_read_right_or_refused(tmp_path):
    make_run(tmp_path)
    results, failures = attack(tmp_path, 10, seed=1)
    assert failures == []
    assert sum(results.values()) == 30
    assert results["resumed: right, step 2"] > 0  # the newest was damaged, and the one before is whole


def flip_a_bit_of_the_parameters(folder: Path, rng: np.random.Generator) -> str:
    path = max((folder / "params").rglob("d/*"), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content) // 4, len(content) // 2)] ^= 1
    path.write_bytes(content)
    return str(path)


def test_without_checksums_the_attack_finds_wrong_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr("reactface_jax.weights.run.verify", lambda *_, **__: None)
    monkeypatch.setattr("reactface_jax.training.checkpoints.verify", lambda *_, **__: None)
    monkeypatch.setattr("benchmarks.attack_checkpoints.damage", flip_a_bit_of_the_parameters)
    make_run(tmp_path)
    _, failures = attack(tmp_path, 6, seed=0)
    assert any("silent: wrong numbers" in line for line in failures)
