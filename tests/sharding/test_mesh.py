"""Meshes, and the table that says which device holds what: cheap, nothing is compiled."""

import logging
import re
import types
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from reactface_jax.config import Config, MeshConfig, ModelConfig, TrainConfig
from reactface_jax.errors import UserError
from reactface_jax.training import sharding
from reactface_jax.training.program import make_program

GOLDEN = Path(__file__).parent / "golden" / "specs.txt"


@pytest.mark.parametrize(
    ("config", "devices", "sizes"),
    [
        (MeshConfig(), 8, (8, 1, 1)),
        (MeshConfig(data=1, fsdp=-1), 8, (1, 8, 1)),
        (MeshConfig(fsdp=2, model=2), 8, (2, 2, 2)),
        (MeshConfig(data=2, fsdp=2, model=-1), 16, (2, 2, 4)),
        (MeshConfig(data=1), 1, (1, 1, 1)),
    ],
)
def test_axes_take_the_devices_that_are_left(config, devices, sizes):
    assert sharding.axis_sizes(devices, config) == sizes


@pytest.mark.parametrize("config", [MeshConfig(fsdp=3), MeshConfig(data=4), MeshConfig(data=16)])
def test_a_mesh_that_is_not_the_devices_is_refused(config):
    with pytest.raises(UserError, match=rf"--mesh.fsdp {config.fsdp} .* does not fit 8 device"):
        sharding.make_mesh(config=config)


def test_contradictions_of_a_mesh_are_refused():
    with pytest.raises(UserError, match=r"only one of mesh.data"):
        MeshConfig(fsdp=-1)
    with pytest.raises(UserError, match=r"mesh.model 0 must be at least 1"):
        MeshConfig(model=0)
    mesh = sharding.make_mesh(config=MeshConfig(model=8))
    with pytest.raises(UserError, match=r"--mesh.model 8 must divide the heads .*num_heads 12"):
        sharding.check_mesh(Config(), mesh)
    sharding.check_mesh(Config(model=ModelConfig(use_audio=False)), mesh)


def test_a_batch_that_can_not_be_distributed_is_refused():
    with pytest.raises(UserError, match=r"batch-size 6 can't be distributed over 8 devices; take a multiple of 8"):
        sharding.check_batch_size(6, sharding.make_mesh())
    sharding.check_batch_size(6, sharding.make_mesh(config=MeshConfig(fsdp=2, model=4, data=1)))
    with pytest.raises(UserError, match=r"can't be distributed over 4 devices"):
        sharding.check_mesh(Config(train=TrainConfig(batch_size=6)), sharding.make_mesh(config=MeshConfig(model=2)))
    in_parts = Config(train=TrainConfig(batch_size=8, accumulate=2))  # four clips at a time
    sharding.check_mesh(in_parts, sharding.make_mesh(config=MeshConfig(model=2)))
    with pytest.raises(UserError, match=r"size 8 can't .* 8 devices, each of --train.accumulate 2 .* multiple of 16$"):
        sharding.check_mesh(in_parts, sharding.make_mesh(config=MeshConfig(fsdp=2)))


def test_the_first_matching_rule_counts_and_no_match_is_an_error(monkeypatch):
    rules = ((r"embed/kernel$", PartitionSpec("fsdp")), (r"kernel$", PartitionSpec(None, "fsdp")))
    monkeypatch.setattr(sharding, "RULES", rules)
    assert sharding.spec("params/embed/kernel") == PartitionSpec("fsdp")
    assert sharding.spec("params/dense/kernel") == PartitionSpec(None, "fsdp")
    with pytest.raises(ValueError, match=r"no rule .* matches params/dense/bias"):
        sharding.spec("params/dense/bias")


def test_other_methods_parameters_are_whole_where_no_rule_fits():
    mesh = sharding.make_mesh(config=MeshConfig(data=1, fsdp=8))
    tree = {"params": {"gru": {"w_ih": np.zeros((8, 8))}, "video_encoder": {"conv1": {"kernel": np.zeros((8, 8))}}}}
    found = sharding.specs(tree, mesh, has_rules=False)
    assert set(found.values()) == {PartitionSpec()}
    kept = {"params": {"audio_encoder": {"layer_0": {"linear1": {"kernel": np.zeros((8, 8))}}}}}
    assert list(sharding.specs(kept, mesh, has_rules=False).values()) == [PartitionSpec("fsdp", "model")]
    with pytest.raises(ValueError, match=r"no rule .* matches params/gru/w_ih"):
        sharding.specs(tree, mesh)


def test_a_spec_for_more_axes_than_there_are_is_an_error():
    with pytest.raises(ValueError, match=r"video_encoder/conv1/kernel has 2 axes, too few"):
        sharding.specs({"video_encoder": {"conv1": {"kernel": np.zeros((2, 2))}}}, sharding.make_mesh())


def test_what_an_axis_does_not_divide_is_whole_and_logged(caplog):
    mesh = sharding.make_mesh(config=MeshConfig(fsdp=4))
    layer = {"audio_encoder": {"layer_0": {"linear1": {"kernel": np.zeros((6, 8)), "bias": np.zeros(8)}}}}
    with caplog.at_level(logging.WARNING):
        placed = sharding.shardings({"params": layer, "step": np.zeros(())}, mesh)
    kernel = placed["params"]["audio_encoder"]["layer_0"]["linear1"]["kernel"]
    assert kernel == NamedSharding(mesh, PartitionSpec(None, "model"))
    assert placed["step"] == NamedSharding(mesh, PartitionSpec())
    [message] = [record.getMessage() for record in caplog.records]
    assert re.search(r"layer_0/linear1/kernel \(6, 8\): 6 is no multiple of the 4 devices of fsdp", message)


def test_rows_of_a_process_are_all_rows_where_there_is_one_process():
    for config in (MeshConfig(), MeshConfig(fsdp=2, model=2), MeshConfig(data=1, model=8)):
        assert sharding.host_rows(sharding.make_mesh(config=config), 8) == list(range(8))


class Chip:
    """What a mesh asks of a device. Two are a process; slices, or nodes of GPUs, are 2x2 by default."""

    __class__ = jax.Device  # to `isinstance`
    core_on_chip = 0

    def __init__(self, id: int, slice_size: int = 4, asked_by: int = 0, kind: str = "NVIDIA H100"):
        self.id, self.slice_index, self.process_index = id, id // slice_size, id // 2
        self.coords = (id % 2, id // 2 % 2, 0)
        self.device_kind, self.platform = kind, "tpu" if kind.startswith("TPU") else "gpu"
        self.client = types.SimpleNamespace(process_index=lambda: asked_by)


@pytest.mark.parametrize("kind", ["NVIDIA H100", "TPU v5 lite"])
def test_slices_lie_behind_each_other_along_data_whatever_order_they_come_in(kind):
    chips = [Chip(id, kind=kind) for id in (6, 1, 4, 3, 2, 5, 0, 7)]
    mesh = sharding.make_mesh(chips, MeshConfig(fsdp=2))
    assert mesh.shape == {"data": 4, "fsdp": 2, "model": 1}
    assert mesh.axis_types == (AxisType.Auto,) * 3
    found = [[chip.id for chip in row.flat] for row in mesh.devices]
    # TPUs follow a ring of the slice's wires: from 1 to its neighbour 3.
    inside = [[0, 1], [2, 3]] if kind == "NVIDIA H100" else [[0, 1], [3, 2]]
    assert found == [*inside, *([4 + id for id in row] for row in inside)]


@pytest.mark.parametrize("config", [MeshConfig(), MeshConfig(fsdp=2), MeshConfig(model=2)])
@pytest.mark.parametrize("process", range(4))
def test_each_process_of_several_slices_reads_the_rows_of_its_devices(config, process):
    chips = [Chip(id, asked_by=process) for id in range(8)]
    rows = sharding.host_rows(sharding.make_mesh(chips, config), 8)
    assert rows == [2 * process, 2 * process + 1]  # two clips a process, in the processes' order


@pytest.mark.parametrize(
    ("sizes", "config", "message"),
    [
        ((4, 4), MeshConfig(data=1, fsdp=8), r"--mesh.data 1 can't .* 2 slices or nodes of 4, 4 devices; .* of 2$"),
        ((6, 2), MeshConfig(), r"--mesh.data 8 can't be distributed over 2 slices or nodes of 6, 2 devices; they must"),
    ],
)
def test_slices_that_data_can_not_be_distributed_over_are_refused(sizes, config, message):
    chips = [Chip(id, slice_size=sizes[0]) for id in range(sum(sizes))]
    with pytest.raises(UserError, match=message):
        sharding.make_mesh(chips, config)


def table(specs: dict[str, PartitionSpec]) -> str:
    """A line a parameter; the twelve layers of wav2vec 2.0 as one, if they agree."""
    lines = {(re.sub(r"(audio_encoder/layer)_\d+", r"\1_*", path), words(spec)): None for path, spec in specs.items()}
    return "".join(f"{path}: {spec}\n" for path, spec in lines)


def words(spec: PartitionSpec) -> str:
    return ", ".join(axis or "-" for axis in spec) or "whole"


def test_the_full_size_model_lies_as_the_golden_table_says(caplog):
    """To accept a change: write `table(params)` to tests/sharding/golden/specs.txt, and read the difference."""
    mesh = sharding.make_mesh(config=MeshConfig(fsdp=2, model=2))
    state = make_program(Config(), sharding.make_mesh(config=MeshConfig())).state
    specs = sharding.specs(state, mesh)
    assert "no multiple" not in caplog.text
    params = {p.removeprefix("params/"): s for p, s in specs.items() if p.startswith("params/")}
    assert table(params) == GOLDEN.read_text()

    # Each moment lies where its parameter does; there are none of the frozen convolutions; the rest has no axes.
    rest = {p: s for p, s in specs.items() if not p.startswith("params/")}
    trained = {p: s for p, s in params.items() if "/feature_extractor/" not in p}
    for moment in ("mu", "nu"):
        found = {p.split(f"/{moment}/")[1]: s for p, s in rest.items() if f"/{moment}/" in p}
        assert found == trained
    assert all(s == PartitionSpec() for p, s in rest.items() if "/mu/" not in p and "/nu/" not in p)

    # FSDP's purpose: split over 8, a device holds little more than an eighth.
    sizes = {
        jax.tree_util.keystr(k, simple=True, separator="/"): x.size
        for k, x in jax.tree_util.tree_leaves_with_path(state)
    }
    whole = sum(sizes[p] for p, s in specs.items() if "fsdp" not in str(s))
    assert whole < 0.04 * sum(sizes.values())
