"""Checkpoints: what is written is read again, another configuration is told apart, damage gets one sentence."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reactface_jax.config import (
    Config,
    EvalConfig,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
    config_from_json,
    differences,
)
from reactface_jax.errors import UserError
from reactface_jax.optimizer import learning_rate, make_optimizer, path_mask
from reactface_jax.training.checkpoints import Checkpoints, check_resumable
from reactface_jax.training.sharding import abstract, make_mesh, shardings
from reactface_jax.training.state import TrainState, stream
from reactface_jax.weights.checksums import CHECKSUMS, write_checksums
from reactface_jax.weights.run import About, load_run, versions

NAMES = tuple(f"c{i}" for i in range(58))
OPTIMIZER = make_optimizer(OptimizerConfig(learning_rate=0.1), 10, ("frozen/",))


def make_state() -> TrainState:
    params = {
        "layer": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(3)},
        "frozen": {"kernel": jnp.ones(2)},
    }
    return TrainState.create(params, OPTIMIZER, jax.random.key(3))


def make_about(config: Config | None = None) -> About:
    return About(config or Config(), np.linspace(0, 1, 58).astype(np.float32), NAMES)


def update(state: TrainState) -> TrainState:
    gradients = jax.tree.map(jnp.ones_like, state.params)
    updates, opt_state = OPTIMIZER.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return dataclasses.replace(state, step=state.step + 1, params=params, opt_state=opt_state)


def save(run_dir, steps=(1,), config=None, keep=3) -> TrainState:
    state = make_state()
    with Checkpoints(run_dir, keep) as checkpoints:
        for step in steps:
            state = update(state)
            checkpoints.save(step, state, make_about(config))
    return state


def assert_same(a: TrainState, b: TrainState) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(x, y)


def test_a_state_is_restored_whole_and_placed(tmp_path):
    saved = save(tmp_path)
    mesh = make_mesh()
    placed = abstract(jax.eval_shape(make_state), shardings(jax.eval_shape(make_state), mesh))
    with Checkpoints(tmp_path, 3) as checkpoints:
        assert checkpoints.latest_step == 1
        restored = checkpoints.restore(1, placed)
    assert_same(saved, restored)
    assert restored.params["layer"]["kernel"].sharding.mesh == mesh
    assert len(restored.params["layer"]["kernel"].devices()) == 8


def test_a_save_in_the_background_is_of_its_own_step_though_the_buffers_are_donated(tmp_path):
    step_fn = jax.jit(lambda x: x + 1, donate_argnums=0)
    size = 2_000_000
    state = TrainState(jnp.zeros((), jnp.int32), {"w": jnp.zeros(size)}, (), jax.random.key(0))
    with Checkpoints(tmp_path, 3) as checkpoints:
        checkpoints.save(7, state, make_about())
        values = state.params["w"]
        for _ in range(20):
            values = step_fn(values)
    np.testing.assert_array_equal(load_run(tmp_path).params["w"], np.zeros(size))


def test_only_the_newest_are_kept(tmp_path):
    save(tmp_path, steps=(1, 2, 3, 4), keep=2)
    assert load_run(tmp_path).step == 4
    assert load_run(tmp_path, step=3).step == 3
    with pytest.raises(UserError, match=r"no checkpoint of step 1; it has 3, 4$"):
        load_run(tmp_path, step=1)


def test_a_run_holds_what_its_user_needs(tmp_path):
    config = Config(model=ModelConfig(feature_dim=64), eval=EvalConfig(protocol="window"))
    saved = save(tmp_path, config=config)
    run = load_run(tmp_path)
    assert run.config == config
    assert run.coefficient_names == NAMES
    np.testing.assert_array_equal(run.mean_face, make_about().mean_face)
    assert run.versions == versions()
    jax.tree.map(np.testing.assert_array_equal, run.params, saved.params)
    assert len(run.params["layer"]["kernel"].devices()) == 1


def test_the_best_is_kept_beside_the_newest(tmp_path):
    state = make_state()
    with Checkpoints(tmp_path, 2) as checkpoints:
        assert checkpoints.best is None
        for step, score in enumerate([0.1, 0.7, None, 0.3, 0.5, None], start=1):
            checkpoints.save(step, state, make_about(), score)
    with Checkpoints(tmp_path, 2) as checkpoints:
        assert checkpoints.best == (2, 0.7)
        assert checkpoints.latest_step == 6
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [2, 5, 6]


def test_every_field_of_a_state_is_saved(tmp_path):
    state = dataclasses.replace(make_state(), average={"layer": {"kernel": jnp.full(3, 0.5)}})
    with Checkpoints(tmp_path, 1) as checkpoints:
        checkpoints.save(1, state, make_about())
        restored = checkpoints.restore(1, jax.tree.map(jnp.zeros_like, state))
    assert_same(state, restored)


def damage(run_dir, step) -> None:
    for path in (run_dir / "checkpoints" / str(step) / "params").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before_and_it_is_said(tmp_path, caplog):
    save(tmp_path, steps=(1, 2, 3))
    damage(tmp_path, 3)
    expected = update(update(make_state()))
    state = jax.eval_shape(make_state)
    placed = abstract(state, shardings(state, make_mesh()))
    with Checkpoints(tmp_path, 3) as checkpoints:
        found = checkpoints.restore_newest(placed, lambda about: None)
        assert found is not None
        step, state = found
        assert step == 2
        assert_same(state, expected)
        assert "checkpoints/3/params" in caplog.text
        assert "going on from step 2" in caplog.text
        assert (tmp_path / "damaged_checkpoints" / "3").is_dir()
        checkpoints.save(3, update(state), make_about())  # its step comes again
    assert load_run(tmp_path).step == 3


def test_where_all_checkpoints_are_damaged_none_is_moved(tmp_path):
    save(tmp_path, steps=(1, 2))
    damage(tmp_path, 1)
    damage(tmp_path, 2)
    with (
        Checkpoints(tmp_path, 3) as checkpoints,
        pytest.raises(UserError, match=r"no checkpoint in .* can be read \(2 tried\)"),
    ):
        checkpoints.restore_newest(make_state(), lambda about: None)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1", "2"]


def test_a_run_that_does_not_fit_is_no_damage(tmp_path):
    def refuse(about):
        raise UserError("another configuration")

    save(tmp_path, steps=(1, 2))
    with Checkpoints(tmp_path, 3) as checkpoints:
        with pytest.raises(UserError, match="another configuration"):
            checkpoints.restore_newest(make_state(), refuse)
        assert checkpoints.latest_step == 2


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_found_and_the_one_before_is_taken(tmp_path, caplog):
    save(tmp_path, steps=(1, 2))
    data = max((tmp_path / "checkpoints" / "2" / "params").rglob("d/*"), key=lambda path: path.stat().st_size)
    flip_bit(data)
    with pytest.raises(UserError, match=rf"{data} is damaged: it is not what was written; remove .*2 to use the one"):
        load_run(tmp_path, step=2)
    run = load_run(tmp_path)
    assert run.step == 1
    np.testing.assert_array_equal(run.params["layer"]["bias"], update(make_state()).params["layer"]["bias"])
    assert "2/params" in caplog.text
    assert "the one before is taken" in caplog.text


@pytest.mark.parametrize("item", ["params", "progress", "about", "metrics"])
def test_a_checksum_an_item(tmp_path, item, caplog):
    save(tmp_path, steps=(1, 2))
    (tmp_path / "checkpoints" / "2" / item / CHECKSUMS).unlink()
    with Checkpoints(tmp_path, 3) as checkpoints:
        found = checkpoints.restore_newest(make_state(), lambda about: None)
    assert found is not None
    assert found[0] == (2 if item == "metrics" else 1)
    assert "checkpoint" in caplog.text  # of a score, too: it counts as none


def test_a_checkpoint_of_an_older_version_has_no_checksums(tmp_path):
    saved = save(tmp_path)
    about = tmp_path / "checkpoints" / "1" / "about" / "metadata"
    values = json.loads(about.read_text())
    del values["has_checksums"]
    about.write_text(json.dumps(values))
    for path in (tmp_path / "checkpoints" / "1").rglob(CHECKSUMS):
        path.unlink()
    with Checkpoints(tmp_path, 3) as checkpoints:
        found = checkpoints.restore_newest(make_state(), lambda about: None)
    assert found is not None
    assert_same(saved, found[1])
    assert load_run(tmp_path).step == 1


@pytest.mark.parametrize("lost", ["metrics", "about", "params", "progress", "metrics/metrics", "_CHECKPOINT_METADATA"])
def test_a_run_killed_while_it_deletes_a_checkpoint_goes_on(tmp_path, lost):
    state = make_state()
    with Checkpoints(tmp_path, 3) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, state, make_about(), 1 / step)
    gone = tmp_path / "checkpoints" / "1" / lost
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    assert load_run(tmp_path).step == 3
    with Checkpoints(tmp_path, 2) as checkpoints:
        found = checkpoints.restore_newest(state, lambda about: None)
        assert found is not None
        assert found[0] == 3
        for step in (4, 5):
            checkpoints.save(step, state, make_about(), 1.0 + step)
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [4, 5]


@pytest.mark.parametrize("content", [b"", bytes(20), b'{"score": "high"}'])
def test_a_damaged_score_counts_as_none(tmp_path, content, caplog):
    state = make_state()
    with Checkpoints(tmp_path, 3) as checkpoints:
        for step, score in ((1, 0.9), (2, 0.5), (3, 0.1)):
            checkpoints.save(step, state, make_about(), score)
    (tmp_path / "checkpoints" / "1" / "metrics" / "metrics").write_bytes(content)
    assert load_run(tmp_path).step == 3
    assert load_run(tmp_path, "best").step == 2
    assert "validation score of checkpoint" in caplog.text
    with Checkpoints(tmp_path, 3) as checkpoints:
        found = checkpoints.restore_newest(state, lambda about: None)
        assert found is not None
        assert found[0] == 3
        assert checkpoints.best == (2, 0.5)
        checkpoints.save(4, state, make_about(), 0.2)
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [2, 3, 4]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("missing", "does not exist"),
        ("no run", "holds no checkpoints"),
        ("empty", "has no checkpoint yet"),
        ("no json", "is damaged"),
        ("cut json", "is damaged"),
        ("no arrays", "is damaged"),
        ("cut arrays", "is damaged"),
    ],
)
def test_a_run_that_can_not_be_read_gets_one_sentence(tmp_path, broken, message):
    run_dir = tmp_path / "run"
    if broken == "no run":
        run_dir.mkdir()
    elif broken == "empty":
        (run_dir / "checkpoints").mkdir(parents=True)
    elif broken != "missing":
        save(run_dir)
        folder = run_dir / "checkpoints" / "1"
        paths = (folder / "about").iterdir() if "json" in broken else (folder / "params").rglob("*")
        for path in [path for path in paths if path.is_file()]:
            if "no" in broken:
                path.unlink()
            else:
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=message) as error:
        load_run(run_dir)
    assert str(run_dir) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_field_of_a_checkpoint_is_named(tmp_path):
    save(tmp_path)
    path = tmp_path / "checkpoints" / "1" / "about" / "metadata"
    about = json.loads(path.read_text())
    about["config"]["model"]["momentums"] = 3
    path.write_text(json.dumps(about))
    write_checksums(path.parent)
    with pytest.raises(UserError, match=r"unknown field model.momentums \(the nearest here is model.momentum\)"):
        load_run(tmp_path)


def test_an_unknown_field_like_no_other_is_named_by_itself():
    with pytest.raises(UserError, match=r"unknown field model.zebra; use the version of reactface_jax that wrote it"):
        config_from_json({"model": {"zebra": 3}})


def test_a_configuration_survives_json():
    config = Config(model=ModelConfig(sync_order="face_first", momentum=0.999), train=TrainConfig(seed=7))
    assert config_from_json(json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_another_configuration_is_refused_with_the_fields_that_differ():
    changed = Config(model=ModelConfig(momentum=0.5, feature_dim=64))
    assert differences(Config(), changed) == [
        "model.feature_dim: 128 there, 64 here",
        "model.momentum: 0.9 there, 0.5 here",
    ]
    with pytest.raises(UserError, match=r"model.feature_dim: 128 there, 64 here; model.momentum"):
        check_resumable(make_about(), make_about(changed))
    check_resumable(make_about(), make_about(Config(train=TrainConfig(steps=7, log_every=1))))


def test_steps_are_part_of_a_cosine_schedule():
    def cosine(steps, method="reactface"):
        optimizer = OptimizerConfig(schedule="cosine")
        return make_about(Config(method=method, train=TrainConfig(steps=steps), optimizer=optimizer))

    why = r"train.steps: 5 there, 6 here; train.steps shapes the cosine of the learning rate\); keep its values"
    with pytest.raises(UserError, match=why):
        check_resumable(cosine(5), cosine(6))
    check_resumable(cosine(5, "zhou"), cosine(6, "zhou"))  # which has a rate of its own


def test_another_data_set_is_refused():
    other = dataclasses.replace(make_about(), mean_face=np.zeros(58, np.float32))
    with pytest.raises(UserError, match="another data set"):
        check_resumable(make_about(), other)


def test_frozen_parameters_keep_their_values_and_have_no_moments():
    state = make_state()
    after = update(state)
    np.testing.assert_array_equal(after.params["frozen"]["kernel"], state.params["frozen"]["kernel"])
    assert np.all(after.params["layer"]["bias"] != state.params["layer"]["bias"])
    moments = [leaf.shape for leaf in jax.tree.leaves(after.opt_state) if leaf.ndim]
    assert sorted(moments) == [(2, 3), (2, 3), (3,), (3,)]
    assert path_mask(state.params, ()) == jax.tree.map(lambda _: False, state.params)


def test_adamw_is_that_of_pytorch_on_biases_too():
    import torch

    config = OptimizerConfig(learning_rate=0.1, weight_decay=0.3)
    optimizer = make_optimizer(config, 10)
    rng = np.random.default_rng(0)
    ours = {"bias": jnp.asarray(rng.standard_normal(4), jnp.float32)}
    theirs = torch.tensor(np.asarray(ours["bias"]).copy(), requires_grad=True)
    reference = torch.optim.AdamW([theirs], lr=0.1, betas=(0.9, 0.999), weight_decay=0.3)
    opt_state = optimizer.init(ours)
    for _ in range(5):
        gradient = rng.standard_normal(4).astype(np.float32)
        updates, opt_state = optimizer.update({"bias": jnp.asarray(gradient)}, opt_state, ours)
        ours = optax.apply_updates(ours, updates)
        theirs.grad = torch.tensor(gradient)
        reference.step()
    np.testing.assert_allclose(ours["bias"], theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_clipping_counts_trained_parameters_alone():
    optimizer = make_optimizer(OptimizerConfig(clip_norm=1.0, learning_rate=1.0, weight_decay=0.0), 10, ("frozen",))
    params = {"frozen": jnp.zeros(1), "a": jnp.zeros(1), "b": jnp.zeros(1)}
    _, opt_state = optimizer.update(
        {"frozen": jnp.full(1, 1e6), "a": jnp.full(1, 3.0), "b": jnp.full(1, 4.0)}, optimizer.init(params), params
    )
    first_moments = sorted(float(leaf[0]) for leaf in jax.tree.leaves(opt_state) if leaf.ndim)[-2:]
    np.testing.assert_allclose(first_moments, [0.06, 0.08], rtol=1e-6)  # 0.1 of 3 / 5 and 4 / 5


def test_learning_rates():
    constant = learning_rate(OptimizerConfig(learning_rate=1.0, warmup_steps=4), 100)
    np.testing.assert_allclose([constant(i) for i in (0, 1, 3, 4, 99)], [0.25, 0.5, 1, 1, 1], rtol=1e-6)
    cosine = learning_rate(OptimizerConfig(learning_rate=1.0, warmup_steps=4, schedule="cosine"), 104)
    np.testing.assert_allclose([cosine(i) for i in (0, 4, 54, 104)], [0.25, 1, 0.5, 0], rtol=1e-6, atol=1e-7)


def test_random_streams_depend_on_key_name_and_step_alone():
    key = jax.random.key(0)
    keys = [stream(key, "dropout", 1), stream(key, "dropout", 2), stream(key, "sample", 1)]
    keys.append(stream(jax.random.key(1), "dropout", 1))
    assert len({tuple(jax.random.key_data(k).tolist()) for k in keys}) == 4
    assert jax.random.key_data(stream(key, "dropout", jnp.int32(2))).tolist() == jax.random.key_data(keys[1]).tolist()
