"""Which device holds what: one mesh, one table of path patterns, and the batch.

The program is written for one device; `jax.jit` with these shardings runs it on many. Three axes:

- "data": every device has all parameters and its own clips;
- "fsdp": clips are distributed over it as well, but parameters and optimiser state are split, and gathered where they
  are used;
- "model": wav2vec 2.0's heads and hidden units are split, and every device of the axis has the same clips.
"""

import functools
import logging
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax.experimental.mesh_utils import create_hybrid_device_mesh
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from reactface_jax.config import Config, MeshConfig
from reactface_jax.errors import UserError
from reactface_jax.models.boundary import BATCH_AXES, on_mesh_now
from reactface_jax.tree_names import named_leaves, path_name
from reactface_jax.types import Batch

log = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

AXES = ("data", "fsdp", "model")
BATCH_SPEC = P(BATCH_AXES)

RULES: tuple[tuple[str, P], ...] = (
    (r"^batch/", BATCH_SPEC),
    # wav2vec 2.0's transformer, 85 of 99 million parameters: heads and hidden units over "model" (Megatron-LM,
    # Shoeybi et al., 2019), so that a layer needs two sums over that axis, after "out" and after "linear2".
    (r"audio_encoder/layer_\d+/self_attention/(query|key|value)/kernel$", P("fsdp", "model")),
    (r"audio_encoder/layer_\d+/self_attention/(query|key|value)/bias$", P("model")),
    (r"audio_encoder/layer_\d+/self_attention/out/kernel$", P("model", "fsdp")),
    (r"audio_encoder/layer_\d+/linear1/kernel$", P("fsdp", "model")),
    (r"audio_encoder/layer_\d+/linear1/bias$", P("model")),
    (r"audio_encoder/layer_\d+/linear2/kernel$", P("model", "fsdp")),
    # Other large kernels, 11 million parameters, by their outputs.
    (r"audio_encoder/feature_extractor/conv_\d+/kernel$", P(None, None, "fsdp")),
    (r"audio_encoder/feature_projection/linear/kernel$", P(None, "fsdp")),
    (r"audio_encoder/positional_convolution/weight_v$", P(None, None, "fsdp")),
    (r"video_encoder/conv\d+/kernel$", P(None, None, None, None, "fsdp")),
    # What is left, 3 million parameters in 400 arrays: gathering them would cost more than holding them.
    (r"/(kernel|bias|scale|weight_g|masked_spec_embed|mean_token|log_variance_token)$", P()),
)
"""Path patterns of batch and training state; the first that matches counts. Moments and averages of a parameter end in
its path and lie where it lies. Numbers without axes need no rule: they are on every device."""


def make_mesh(devices: Sequence[jax.Device] | None = None, config: MeshConfig | None = None) -> Mesh:
    """A mesh of `devices`, all of the job's by default.

    Several TPU slices, or nodes of GPUs, lie behind each other along "data": the other axes stay inside one, since
    the network between them is slower.

    Raises:
      UserError: the axes' sizes do not make up the number of devices, or "data" that of slices.
    """
    devices = jax.devices() if devices is None else devices
    shape, axis_types = axis_sizes(len(devices), config or MeshConfig()), (AxisType.Auto,) * 3
    slices = Counter(getattr(device, "slice_index", 0) for device in devices)
    if len(slices) == 1:
        return jax.make_mesh(shape, AXES, axis_types=axis_types, devices=devices)
    if shape[0] % len(slices) or len(set(slices.values())) > 1:
        raise UserError(
            f"--mesh.data {shape[0]} can't be distributed over {len(slices)} slices or nodes of "
            f"{', '.join(str(size) for size in slices.values())} devices; they must be of one size, and data a "
            f"multiple of {len(slices)}"
        )
    inside, across = (shape[0] // len(slices), *shape[1:]), (len(slices), 1, 1)
    return Mesh(
        create_hybrid_device_mesh(inside, across, devices, allow_split_physical_axes=True), AXES, axis_types=axis_types
    )


def axis_sizes(num_devices: int, config: MeshConfig) -> tuple[int, int, int]:
    """Sizes of `AXES`; the one that is -1 takes the devices that the others leave. Raises `UserError`."""
    sizes = [config.data, config.fsdp, config.model]
    given = int(np.prod([size for size in sizes if size > 0]))
    words = " ".join(f"--mesh.{axis} {size}" for axis, size in zip(AXES, sizes, strict=True))
    if -1 in sizes and num_devices % given == 0:
        sizes[sizes.index(-1)] = num_devices // given
    if np.prod(sizes) != num_devices:
        raise UserError(f"{words} does not fit {num_devices} device(s); the axes' product must be their number")
    return (sizes[0], sizes[1], sizes[2])


def check_mesh(config: Config, mesh: Mesh) -> None:
    """Raises `UserError` if the model or the batch can't be distributed over the mesh."""
    check_batch_size(config.train.batch_size, mesh, config.train.accumulate)
    heads, size = config.model.audio.num_heads, mesh.shape["model"]
    if config.model.use_audio and heads % size:
        raise UserError(f"--mesh.model {size} must divide the heads of wav2vec 2.0, model.audio.num_heads {heads}")


def check_batch_size(batch_size: int, mesh: Mesh, parts: int = 1) -> None:
    """Raises `UserError` if the clips of each of a batch's parts can't be distributed evenly over the devices."""
    shares = int(np.prod([mesh.shape[axis] for axis in BATCH_AXES]))
    if batch_size % (shares * parts):
        each = f", each of --train.accumulate {parts} parts for itself" if parts > 1 else ""
        raise UserError(
            f"--train.batch-size {batch_size} can't be distributed over {shares} devices{each}; take a multiple of "
            f"{shares * parts}"
        )


def spec(path: str, *, has_rules: bool = True) -> P:
    """The first rule's spec that matches a path such as `params/listener/coefficient_map/kernel`.

    Without `has_rules` a parameter that none matches is whole on each device.
    """
    for pattern, partition in RULES:
        if re.search(pattern, path):
            return partition
    if not has_rules:
        return P()
    raise ValueError(f"no rule of training.sharding.RULES matches {path}")


def specs(tree: Any, mesh: Mesh | AbstractMesh, *, quiet: bool = False, has_rules: bool = True) -> dict[str, P]:
    """Path to spec for every leaf of `tree`. An axis that does not divide its dimension is left out, and logged."""
    found: dict[str, P] = {}
    for path, leaf in named_leaves(tree).items():
        shape = np.shape(leaf)
        if not shape:  # on every device, without a rule
            found[path] = P()
            continue
        partition = spec(path, has_rules=has_rules)
        if not has_rules and len(partition) > len(shape):
            partition = P()  # another method's parameter, which is only called like one of ReactFace's
        found[path] = _fitting(path, shape, partition, mesh, quiet)
    return found


def shardings(tree: Any, mesh: Mesh, *, has_rules: bool = True) -> Any:
    """A tree like `tree`, with each leaf's `NamedSharding`; `has_rules` as in `spec`."""
    found = specs(tree, mesh, has_rules=has_rules)
    return jax.tree_util.tree_map_with_path(lambda key, _: NamedSharding(mesh, found[path_name(key)]), tree)


def abstract(tree: Any, placement: Any) -> Any:
    """Shapes and types of `tree` with the shardings of `placement`: what a restore or a compilation asks for."""
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, placement)


def on_mesh(function: Callable[Arguments, Result], mesh: Mesh) -> Callable[Arguments, Result]:
    """`function`, for `jax.jit` to trace, with `models.boundary` and `gathered` bound to the mesh."""

    @functools.wraps(function)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*args, **kwargs)

    return wrapped


def gathered(params: Any, *, has_rules: bool = True) -> Any:
    """Parameters as the model uses them: without the split over "fsdp", with the one over "model".

    Left to itself the compiler splits convolutions by their outputs, and sends activations instead. Gradients are whole
    too, and cut where the optimiser wants its part.
    """
    if not on_mesh_now():
        return params
    mesh = jax.sharding.get_abstract_mesh()
    found = specs({"params": params}, mesh, quiet=True, has_rules=has_rules)

    def place(key: Any, x: Any) -> Any:
        kept = [None if axis == "fsdp" else axis for axis in tuple(found[f"params/{path_name(key)}"])]
        return jax.lax.with_sharding_constraint(x, P(*kept))

    return jax.tree_util.tree_map_with_path(place, params)


def host_rows(mesh: Mesh, batch_size: int) -> list[int]:
    """Rows of a global batch that this process's devices hold, in order: what its loader reads."""
    devices: Any = NamedSharding(mesh, BATCH_SPEC).addressable_devices_indices_map((batch_size,))
    rows = {row for (piece,) in devices.values() for row in range(*piece.indices(batch_size))}
    return sorted(rows)


def place_batch(batch: Batch, mesh: Mesh) -> Batch:
    """Puts this process's clips, the rows of `host_rows`, on its devices, as its part of one global batch."""
    sharding = NamedSharding(mesh, BATCH_SPEC)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), batch)


def _fitting(path: str, shape: tuple[int, ...], partition: P, mesh: Mesh | AbstractMesh, quiet: bool) -> P:
    """The spec without the axes that do not divide their dimension."""
    if len(partition) > len(shape):
        raise ValueError(f"{path} has {len(shape)} axes, too few for {partition} of training.sharding.RULES")
    axes: list[Any] = []
    for size, names in zip(shape, partition, strict=False):
        parts = int(np.prod([mesh.shape[name] for name in ((names,) if isinstance(names, str) else names or ())]))
        if size % parts and not quiet:
            log.warning(
                "%s %s: %d is no multiple of the %d devices of %s; whole on each", path, shape, size, parts, names
            )
        axes.append(None if size % parts else names)
    return P(*axes)
