"""What the trainings read, from a shard set: batches, and the people with whom answers are compared."""

from reactface_jax.config import Config
from reactface_jax.methods.rows import picture_size
from reactface_jax.rendering.portrait.config import RendererConfig
from reactface_jax.rendering.portrait.training import RendererBatches
from reactface_jax.shard_set import open_shards
from reactface_jax.training.loop import TrainingData
from reactface_jax.training.sharding import host_rows, make_mesh
from reactface_jax.types import Clips


def reaction_data(config: Config) -> TrainingData:
    """The data of a model that reacts. Raises `UserError` if `config.data.dir` is no shard set."""
    shards = open_shards(config.data.dir)
    names = tuple(shards.description["coefficient_names"])
    eval_frames = min(config.data.eval_frames, int(shards.num_frames("val").min()))
    pictures = picture_size(config)
    rows = host_rows(make_mesh(config=config.mesh), config.train.batch_size)
    return TrainingData(
        description=f"{config.data.dir}, {shards.num_clips('train')} training clips",
        mean_face=shards.mean_face,
        coefficient_names=names,
        train_batches=lambda start_step: shards.train_batches(
            "train",
            batch_size=config.train.batch_size,
            num_frames=config.data.clip_frames,
            image_size=pictures,
            max_neighbours=config.num_neighbours,
            seed=config.train.seed,
            start_step=start_step,
            rows=rows,
        ),
        validation_batches=lambda: shards.clip_batches(
            "val",
            batch_size=config.train.batch_size,
            num_frames=eval_frames,
            image_size=pictures,
            rows=rows,
        ),
        listeners=shards.listeners("train"),
        validation_clips=lambda: Clips(
            *shards.coefficients("val"), shards.appropriateness("val"), shards.clip_ids("val"), names
        ),
        clip_ids=shards.clip_ids("train"),
    )


def portrait_data(config: RendererConfig) -> RendererBatches:
    """The data of the portrait renderer. Raises `UserError` if `config.data.dir` is no shard set."""
    shards = open_shards(config.data.dir)
    length, size = config.data.clip_frames, config.data.image_size
    return RendererBatches(
        mean_face=shards.mean_face,
        std_face=shards.std_face,
        train=lambda start_step: shards.train_batches(
            "train",
            batch_size=config.train.clips,
            num_frames=length,
            image_size=size,
            max_neighbours=0,
            seed=config.train.seed,
            start_step=start_step,
        ),
        validation=lambda: shards.clip_batches("val", batch_size=1, num_frames=length, image_size=size),
    )
