"""Shards to batches: tf.data, deterministic, resumable at any step, a slice per host.

What a training step sees is a pure function of (seed, step): the permutation of an epoch is stateless
(`index_shuffle`), so are the crops, and records are read by index. Only the frames of a step's crop are decoded; they
leave as uint8. Nothing is shuffled in memory, so resuming at step n takes no longer than starting.
"""

import atexit
import contextlib
import json
import weakref
from collections.abc import Generator, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource
from jaxtyping import Bool, Float, Int

from data_pipeline.host_tensorflow import tf, tfds
from data_pipeline.shards.description import Description, SplitDescription, read_description, shards_of
from data_pipeline.shards.examples import DecodedExample, features
from reactface_jax.array_reading import read_npy
from reactface_jax.errors import UserError
from reactface_jax.types import NUM_COEFFICIENTS, SAMPLES_PER_FRAME, Batch
from reactface_jax.worker_pool import num_cores

_MOST_READERS = 16
"""Clips that are read at once; whoever closes the loader waits for them."""
_CROP = 7 / 8  # the centre of a frame that the model sees: 224 of 256
_OPEN: weakref.WeakSet[Generator[Batch, None, None]] = weakref.WeakSet()
"""Loaders that may not have been closed."""


@atexit.register
def _close_all() -> None:
    """Before Python takes TensorFlow apart, whose threads would then abort the process."""
    for batches in list(_OPEN):
        with contextlib.suppress(ValueError):  # another thread waits for its next batch
            batches.close()


def open_shards(folder: str | Path) -> "ShardSet":
    """Opens a shard set and checks it against its description, see `read_description`. Raises `UserError` likewise."""
    return ShardSet(Path(folder), read_description(Path(folder)))


class ShardSet:
    """A folder of shards. Rows of every array are directions: the csv's pairs, then the same with roles swapped."""

    def __init__(self, folder: Path, description: Description) -> None:
        self.folder = folder
        self.description = description
        """As in description.json: coefficient_names, mean_face, std_face, frame_size, splits, files, ..."""
        self._sources: dict[str, ArrayRecordDataSource] = {}
        self._tables: dict[str, np.ndarray] = {}
        self._lengths = {name: np.array(split["frames"]) for name, split in description["splits"].items()}

    @cached_property
    def mean_face(self) -> Float[np.ndarray, "58"]:
        return np.array(self.description["mean_face"], np.float32)

    @cached_property
    def std_face(self) -> Float[np.ndarray, "58"]:
        return np.array(self.description["std_face"], np.float32)

    @property
    def has_pictures(self) -> bool:
        """Whether examples hold the speaker's frames; without them batches need image_size 0."""
        return any(self.description["frame_size"])

    def num_clips(self, split: str) -> int:
        """Number of directions."""
        return self._split(split)["clips"]

    def clip_ids(self, split: str) -> list[str]:
        """The speaker's path of each direction."""
        return self._split(split)["clip_ids"]

    def num_frames(self, split: str) -> Int[np.ndarray, "N"]:
        """Length of each direction."""
        self._split(split)
        return self._lengths[split]

    def coefficients(self, split: str) -> tuple[Float[np.ndarray, "N T 58"], Float[np.ndarray, "N T 58"]]:
        """Raw coefficients of all speakers and of their listeners, cut to the length of the split's shortest clip."""
        speaker = self._table(split)[:, : self.num_frames(split).min()]
        return speaker, np.roll(speaker, len(speaker) // 2, axis=0)

    def listeners(self, split: str) -> Float[np.ndarray, "N T 58"]:
        """Coefficients of each direction's listener, relative to `mean_face`: the table into which neighbours point."""
        table = self._table(split)
        return np.roll(table, len(table) // 2, axis=0) - self.mean_face

    def appropriateness(self, split: str) -> Bool[np.ndarray, "N N"]:
        """[i, j]: listener j is an appropriate reaction to speaker i."""
        self._split(split)
        return read_npy(self.folder / f"appropriateness_{split}.npy", kinds="b")

    def _split(self, split: str) -> SplitDescription:
        splits = self.description["splits"]
        if split not in splits:
            raise UserError(f"shard set {self.folder} has no split {split}; it has {', '.join(splits)}")
        return splits[split]

    def _table(self, split: str) -> Float[np.ndarray, "N T 58"]:
        self._split(split)
        if split not in self._tables:
            self._tables[split] = read_npy(self.folder / f"coefficients_{split}.npy", mapped=True)
        return self._tables[split]

    def record(self, split: str, index: int) -> bytes:
        """The serialised example of a direction. Raises `UserError` when its shard is damaged."""
        if split not in self._sources:
            paths = [self.folder / name for name in shards_of(self.description, split)]
            try:
                self._sources[split] = ArrayRecordDataSource([str(path) for path in paths])
            except (ValueError, RuntimeError) as error:
                raise UserError(f"a shard of {self.folder / split} is damaged; copy the shard set again") from error
        try:
            return self._sources[split][index]
        except (ValueError, RuntimeError, IndexError) as error:
            raise UserError(
                f"{self._record_name(split, index)} is damaged; copy the file again (`reactface prepare "
                f"verify --data {self.folder}` checks them all)"
            ) from error

    def _shard_lengths(self, split: str) -> list[int]:
        """Records of each shard, from TFDS's own description; empty if it is damaged."""
        try:
            splits = json.loads((self.folder / "dataset_info.json").read_text(encoding="utf-8"))["splits"]
            return next([int(n) for n in each["shardLengths"]] for each in splits if each["name"] == split)
        except (OSError, ValueError, KeyError, TypeError, StopIteration, RecursionError):
            return []

    def _record_name(self, split: str, index: int) -> str:
        """A record's file and number in it, for an error."""
        offset = index
        for name, length in zip(shards_of(self.description, split), self._shard_lengths(split), strict=False):
            if offset < length:
                return f"record {offset} of {self.folder / name}"
            offset -= length
        return f"record {index} of split {split} in {self.folder}"

    def example(self, split: str, index: int) -> DecodedExample:
        """A whole direction, decoded, as NumPy arrays."""
        decoded: DecodedExample = features().deserialize_example_np(self.record(split, index))
        return decoded

    def train_batches(
        self,
        split: str,
        *,
        batch_size: int,
        num_frames: int,
        image_size: int,
        max_neighbours: int,
        seed: int,
        start_step: int = 0,
        rows: Sequence[int] | None = None,
    ) -> Iterator[Batch]:
        """Random crops of shuffled clips, without end; each epoch has every clip once, and batches run across epochs.

        Args:
          split: "train", "val" or "test".
          batch_size: clips in a step, of all hosts together.
          num_frames: T, frames of a crop.
          image_size: height and width of the frames; the crop of 7/8 is resized if it differs. 0: no picture is
            decoded, and `Batch.video` is [B, T, 0, 0, 3].
          max_neighbours: at most so many appropriate reactions a clip; its own listener comes first, then the others in
            the order of their rows (the reference also takes the first 80). M is this, or the largest number in the
            split if that is less.
          seed: of order and crops.
          start_step: the step of the first batch.
          rows: which rows of each batch to read, where several hosts share it (`training.sharding.host_rows`);
            None: all.

        Raises:
          UserError: a clip is shorter than `num_frames`, or pictures are asked for where there are none.
        """
        self._check_length(split, num_frames)
        own = list(range(batch_size) if rows is None else rows)
        count, lengths = self.num_clips(split), self.num_frames(split)
        num_neighbours = min(max_neighbours, self._split(split)["max_neighbours"])

        def crop(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            """Clip and first frame of the n-th clip of a training, counted from its very beginning."""
            root = tf.constant(seed, tf.int64)
            epoch = tf.stack([root, position // count])
            index = tf.random.experimental.index_shuffle(position % count, epoch, count - 1)
            last = tf.gather(lengths, index) - num_frames
            start = tf.random.stateless_uniform((), tf.stack([root, position]), maxval=last + 1, dtype=tf.int64)
            return index, start, index

        steps = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max)
        positions = steps.flat_map(
            lambda step: tf.data.Dataset.from_tensor_slices(step * batch_size + tf.constant(list(own), tf.int64))
        )
        crops = positions.map(crop)
        return self._batches(split, crops, len(own), num_frames, image_size, num_neighbours)

    def clip_batches(
        self,
        split: str,
        *,
        batch_size: int,
        num_frames: int | None,
        image_size: int,
        rows: Sequence[int] | None = None,
    ) -> Iterator[Batch]:
        """Whole clips in order, each once, for evaluation; without neighbours (M = 0).

        Args:
          split: "train", "val" or "test".
          batch_size: clips in a batch; the last batch repeats the last clip, with `Batch.clip` -1.
          num_frames: T, frames from the beginning of each clip; 0 or None: the length of the split's shortest clip.
          image_size: as in `train_batches`.
          rows: which rows of each batch to read, where several hosts share it; None: all.

        Raises:
          UserError: as in `train_batches`.
        """
        num_frames = num_frames or int(self.num_frames(split).min())
        self._check_length(split, num_frames)
        count = self.num_clips(split)
        every = np.arange(-(-count // batch_size) * batch_size).reshape(-1, batch_size)
        index = every[:, range(batch_size) if rows is None else rows].reshape(-1)
        clip = np.where(index < count, index, -1)
        index = np.minimum(index, count - 1)
        crops = tf.data.Dataset.from_tensor_slices((index, np.zeros_like(index), clip))
        share = batch_size if rows is None else len(rows)
        return self._batches(split, crops, share, num_frames, image_size, num_neighbours=0)

    def _check_length(self, split: str, num_frames: int) -> None:
        lengths = self.num_frames(split)
        if lengths.min() < num_frames:
            clip = self.clip_ids(split)[lengths.argmin()]
            raise UserError(
                f"clips of {num_frames} frames are asked for, but {clip} of split {split} in {self.folder} has "
                f"{lengths.min()}; ask for at most {lengths.min()}"
            )

    def _batches(
        self,
        split: str,
        crops: tf.data.Dataset,
        batch_size: int,
        num_frames: int,
        image_size: int,
        num_neighbours: int,
    ) -> Iterator[Batch]:
        """Reads the clips at (index, first frame, number to report)."""
        if image_size and not self.has_pictures:
            raise UserError(
                f"shard set {self.folder} has no pictures; ask for --data.image-size 0 with a model that needs none, "
                "or write it from a tree with Video_files"
            )
        failures: list[UserError] = []  # an exception inside tf.data loses its type
        spec = features()
        wanted = ("audio", "speaker", "listener", "neighbours", *(("frames",) if image_size else ()))
        example_spec = tfds.features.FeaturesDict({name: spec[name] for name in wanted})
        height, width = self.description["frame_size"]

        def record(index: np.ndarray) -> bytes:
            try:
                return self.record(split, int(index))
            except UserError as error:
                failures.append(error)
                raise

        def neighbours(rows: np.ndarray, index: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return self._neighbours(split, rows, int(index), int(start), num_frames, num_neighbours)

        def load(index: tf.Tensor, start: tf.Tensor, clip: tf.Tensor) -> Batch:
            example = example_spec.deserialize_example(
                tf.numpy_function(record, [index], tf.string, stateful=False),
                decoders={"frames": _KeepJpegs()} if image_size else None,
            )
            window = slice(start, start + num_frames)
            rows_and_starts, mask = tf.numpy_function(
                neighbours, [example["neighbours"], index, start], (tf.int32, tf.bool), stateful=False
            )
            if image_size:
                video = _decode(example["frames"][window], height, width, num_frames, image_size)
            else:
                video = tf.zeros((num_frames, 0, 0, 3), tf.uint8)
            return Batch(
                video=video,
                audio=_crop_audio(example["audio"], start, num_frames),
                speaker=tf.ensure_shape(example["speaker"][window] - self.mean_face, [num_frames, NUM_COEFFICIENTS]),
                listener=tf.ensure_shape(example["listener"][window] - self.mean_face, [num_frames, NUM_COEFFICIENTS]),
                neighbours=tf.ensure_shape(rows_and_starts, [num_neighbours, 2]),
                neighbour_mask=tf.ensure_shape(mask, [num_neighbours]),
                clip=tf.cast(clip, tf.int32),
            )

        options = tf.data.Options()
        options.deterministic = True
        # Nothing here is left to autotuning, and closing an iterator waits for its thread, which sleeps up to a minute.
        options.autotune.enabled = False
        batches = crops.map(load, num_parallel_calls=min(num_cores(), _MOST_READERS)).batch(
            batch_size, drop_remainder=True
        )
        return _iterate(batches.prefetch(2).with_options(options), failures)

    def _neighbours(
        self, split: str, rows: Int[np.ndarray, "_"], index: int, start: int, num_frames: int, num_neighbours: int
    ) -> tuple[Int[np.ndarray, "M 2"], Bool[np.ndarray, "M"]]:
        """Row and first frame in `listeners` of appropriate reactions at the clip's own moment; which ones are real."""
        rows = np.concatenate([[index], rows[rows != index]])[:num_neighbours]
        rows_and_starts = np.zeros((num_neighbours, 2), np.int32)
        rows_and_starts[: len(rows), 0] = rows
        # A neighbour may be a frame or two shorter than the clip.
        rows_and_starts[: len(rows), 1] = np.minimum(start, self.num_frames(split)[rows] - num_frames)
        return rows_and_starts, np.arange(num_neighbours) < len(rows)


class _KeepJpegs(tfds.decode.Decoder):
    """Leaves a sequence of pictures encoded. (`SkipDecoding` walks through it picture by picture to do nothing.)"""

    def decode_example(self, serialized_example: tf.Tensor) -> tf.Tensor:
        return serialized_example

    def decode_batch_example(self, serialized_example: tf.Tensor) -> tf.Tensor:
        return serialized_example


def _decode(frames: tf.Tensor, height: int, width: int, num_frames: int, image_size: int) -> tf.Tensor:
    """JPEGs -> uint8 [T, image_size, image_size, 3]: the centre crop, resized when its size is another."""
    # libjpeg scales by 1/2, 1/4 or 1/8 while it decodes, for less time: the smallest that is still large enough.
    ratio = max(r for r in (1, 2, 4, 8) if r == 1 or _CROP * min(height, width) / r >= image_size)
    side = round(_CROP * min(height, width) / ratio)
    rows, columns = -(-height // ratio), -(-width // ratio)
    window = [(rows - side) // 2, (columns - side) // 2, side, side]
    pictures = tf.map_fn(
        # The fast transform differs by 0.01 of 255 on average, and saves a third of the time.
        lambda jpeg: tf.io.decode_and_crop_jpeg(jpeg, window, channels=3, ratio=ratio, dct_method="INTEGER_FAST"),
        frames,
        fn_output_signature=tf.TensorSpec((side, side, 3), tf.uint8),
    )
    if side != image_size:
        method = "area" if side > image_size else "bilinear"
        pictures = tf.image.resize(pictures, (image_size, image_size), method)
        pictures = tf.cast(tf.round(pictures), tf.uint8)
    return tf.ensure_shape(pictures, [num_frames, image_size, image_size, 3])


def _crop_audio(samples: tf.Tensor, start: tf.Tensor, num_frames: int) -> tf.Tensor:
    """int16 [L] -> float32 [640 T] from a frame on, normalised over the whole file, zeros where the file has ended."""
    audio = tf.cast(samples, tf.float32) / 32768
    mean, variance = tf.nn.moments(audio, axes=[0])
    begin = start * SAMPLES_PER_FRAME
    length = num_frames * SAMPLES_PER_FRAME
    crop = (audio[begin : begin + length] - mean) / tf.sqrt(variance + 1e-7)
    return tf.ensure_shape(tf.pad(crop, [[0, length - tf.size(crop)]]), [length])


def _iterate(batches: tf.data.Dataset, failures: list[UserError]) -> Iterator[Batch]:
    """Batches as arrays, from a generator that is closed when the process ends, if nobody closed it before."""
    iterator = _arrays(batches, failures)
    _OPEN.add(iterator)
    return iterator


def _arrays(batches: tf.data.Dataset, failures: list[UserError]) -> Generator[Batch, None, None]:
    try:
        yield from batches.as_numpy_iterator()
    except tf.errors.OpError as error:
        if failures:
            raise failures[0] from error
        raise
