"""Random damage of checkpoints: never wrong numbers, never a traceback."""

import numpy as np

from benchmarks.attack_checkpoints import attack, damage, make_run


def test_damaged_checkpoints_are_read_right_or_refused(tmp_path):
    make_run(tmp_path)
    results, failures = attack(tmp_path, 10, seed=1)
    assert failures == []
    assert sum(results.values()) == 30
    assert results["resumed: right, step 2"] > 0  # the newest was damaged, and the one before is whole


def test_the_attack_sees_wrong_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr("reactface_jax.weights.run.verify", lambda *_, **__: None)  # as without checksums
    monkeypatch.setattr("reactface_jax.training.checkpoints.verify", lambda *_, **__: None)
    make_run(tmp_path)
    rng = np.random.default_rng(0)
    data = tmp_path / "checkpoints" / "3" / "params" / "d"
    content = bytearray(max(data.iterdir(), key=lambda path: path.stat().st_size).read_bytes())
    assert damage(data, rng)
    assert content
