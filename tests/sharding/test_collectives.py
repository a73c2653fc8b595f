"""What the compiled train step sends between devices: parameters and gradients, and two sums of activations a layer."""

from collections import Counter

import jax
import numpy as np
import pytest
from small_model import without_dropout

from benchmarks.hlo_collectives import Collective, collectives
from reactface_jax.config import AudioConfig, Config, DataConfig, MeshConfig, ModelConfig, TrainConfig
from reactface_jax.models import video_encoder
from reactface_jax.ops import convolution, pooling
from reactface_jax.training import sharding
from reactface_jax.training.program import make_program

LAYERS, WINDOWS = 3, 2

HLO = """
%body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %r = f32[4]{0} all-reduce(f32[4]{0} %g), replica_groups=mesh['axis_0'=4,'axis_1'=2] {'axis_0'}, to_apply=%add
}
%branch (p: f32[4]) -> f32[4] {
  %c = bf16[2,3]{1,0} collective-permute(bf16[2,3]{1,0} %p), source_target_pairs={{0,1},{1,0}}
}
ENTRY %main (a: f32[4]) -> f32[8] {
  %s = (f32[8,2]{1,0}, pred[3]{0}) all-gather-start(f32[4,2]{1,0} %a), replica_groups=[4,2]<=[8], op_name="x/y"
  %w = (s32[], f32[4]) while(%t), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %i = f32[4] conditional(%k, %a, %a), branch_computations={%branch, %other}
  %t = f32[6]{0} reduce-scatter(f32[12]{0} %a), replica_groups={{0,1},{2,3}}, dimensions={0}
}
"""


def test_collectives_are_read_from_the_text():
    assert collectives(HLO) == [
        Collective("all-gather", ((8, 2), (3,)), 67, 2, 1, "x/y"),
        Collective("reduce-scatter", ((6,),), 24, 2, 1, ""),
        Collective("all-reduce", ((4,),), 16, 4, 5, ""),
        Collective("collective-permute", ((2, 3),), 12, 2, 1, ""),
    ]


def full_size(**mesh: int) -> Config:
    """The full-size model's widths, on short clips of small frames.

    Depth, frames and their size repeat the same operations: a loop over three layers stands for one over twelve, 16
    frames of 32x32 for 256 of 224x224. Two windows, so that the loops differ in their turns. Dropout takes nothing from
    other devices, since random numbers are a function of the place in the batch; leaving it out halves the compilation.
    """
    return Config(
        model=without_dropout(ModelConfig(audio=AudioConfig(num_layers=LAYERS))),
        data=DataConfig(image_size=32, clip_frames=16, max_neighbours=4),
        train=TrainConfig(window=8),
        mesh=MeshConfig(**mesh),
    )


@pytest.fixture(scope="module")
def compiled():
    """With F-Enc in the form of accelerators: a CPU's has loops of its own in the gradients."""
    config = full_size(data=2, fsdp=2, model=2)
    program = make_program(config, sharding.make_mesh(config=config.mesh))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video_encoder, "conv3d", convolution.on_gpu)
        patch.setattr(video_encoder, "max_pool", pooling.native)
        lowered = program.step.lower(program.state, program.batch)
    return collectives(lowered.compile().as_text()), program.state


def local_shapes(state) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(state.params)
    return {jax.tree_util.keystr(k, simple=True, separator="/"): x.sharding.shard_shape(x.shape) for k, x in leaves}


@pytest.mark.long
def test_parameters_alone_are_gathered_each_once(compiled):
    found, state = compiled
    assert {one.kind for one in found} == {"all-gather", "all-reduce"}
    gathered = Counter(shape for one in found if one.kind == "all-gather" for shape in one.shapes)
    expected = Counter()
    for leaf in jax.tree.leaves(state.params):
        if "fsdp" in leaf.sharding.spec:
            shard = leaf.sharding.shard_shape(leaf.shape)
            expected[tuple(2 * n if s == "fsdp" else n for n, s in zip(shard, leaf.sharding.spec, strict=True))] += 1
    assert gathered == expected
    assert all(one.group == 2 and one.times == 1 for one in found if one.kind == "all-gather")


@pytest.mark.long
def test_activations_are_summed_over_the_model_axis_alone(compiled):
    """Twice forward and four times backward a layer: the inputs of query, key and value are summed one by one.

    The layers are a loop, so that six sums stand in the text."""
    found, _ = compiled
    activations = (2, 31, 768)  # rows of a device, frames of wav2vec 2.0, its width
    sums = [one for one in found for shape in one.shapes if one.kind == "all-reduce" and shape == activations]
    assert len(sums) == 6
    assert all(one.group == 2 and one.times == LAYERS for one in sums)


@pytest.mark.long
def test_gradients_are_summed_over_the_batch_once(compiled):
    """Those of the listener once a window, in the loop over windows; those of wav2vec 2.0's layers in theirs."""
    found, state = compiled
    summed: dict[int, int] = {1: 0, WINDOWS: 0, LAYERS: 0}
    for one in found:
        if one.kind == "all-reduce" and one.group == 4:
            summed[one.times] += sum(int(np.prod(shape)) for shape in one.shapes if shape)
    sizes = {"listener": 0, "layers": 0, "rest": 0}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.params):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if "feature_extractor" not in name:  # frozen
            # Gradients are whole over "fsdp" when they are summed, and cut afterwards.
            parts = 2 if "model" in leaf.sharding.spec else 1
            of = "layers" if "audio_encoder/layer_" in name else "listener" if name.startswith("listener") else "rest"
            sizes[of] += leaf.size // parts
    assert summed[1] == pytest.approx(sizes["rest"], rel=1e-3)
    assert summed[WINDOWS] == pytest.approx(sizes["listener"], rel=1e-2)
    assert LAYERS * summed[LAYERS] == pytest.approx(sizes["layers"], rel=1e-3)
