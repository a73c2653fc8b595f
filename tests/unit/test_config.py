"""`load_config`: overrides, the nearest name for a typo, values that do not fit, contradictions."""

import pytest

from reactface_jax.config import AudioConfig, Config, DataConfig, LossConfig, ModelConfig, TrainConfig, load_config
from reactface_jax.config.fields import MethodName
from reactface_jax.errors import UserError


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from reactface_jax.config import Config, ModelConfig\nconfig = Config(model=ModelConfig(period=4))\n"
    )
    return path


def test_overrides_replace_fields_of_the_file(config_file):
    config = load_config(
        config_file,
        ["--model.feature-dim", "64", "--model.audio.num_layers=2", "--model.no-use-vim", "--data.dir", "a b"],
    )
    expected = ModelConfig(period=4, feature_dim=64, use_vim=False, audio=AudioConfig(num_layers=2))
    assert config.model == expected
    assert config.data.dir == "a b"
    assert config.train == TrainConfig()


def test_a_number_may_be_negative_or_written_with_an_exponent(config_file):
    config = load_config(config_file, ["--loss.kl", "1e-4", "--mesh.fsdp", "-1", "--mesh.data", "1"])
    assert (config.loss.kl, config.mesh.fsdp) == (1e-4, -1)


@pytest.mark.parametrize(
    ("flag", "suggestion"),
    [
        ("--model.feature-dims", "--model.feature-dim"),
        ("--train.batchsize", "--train.batch-size"),
        ("--optimizer.lr=3", r"--optimizer.learning-rate\?"),
        ("--batch-size", r"--train.batch-size or --eval.batch-size\?"),
        ("--seed", r"--train.seed or --eval.seed\?"),
        ("--num-reactions", r"--train.num-reactions or --eval.num-reactions\?"),
        ("--window", "--model.window, --train.window, --lfi.window"),
        ("--learning-rate", "--optimizer.learning-rate, --lfi.learning-rate"),
        ("--data", r"--data.dir\?"),
        ("--model.audio.layers", "--model.audio.num-layers"),
    ],
)
def test_an_unknown_field_gets_the_nearest_name(config_file, flag, suggestion):
    with pytest.raises(UserError, match=f"{flag.split('=')[0]} is no field .* did you mean {suggestion}"):
        load_config(config_file, [flag, "3"])


def test_a_field_that_is_like_none_gets_the_place_where_all_are(config_file):
    with pytest.raises(UserError, match="--out is no field of the configuration; see `reactface train --help`"):
        load_config(config_file, ["--out", "3"])


@pytest.mark.parametrize(
    "words", [["--model.feature-dim", "many"], ["--model.sync-order", "both"], ["--train.steps"], ["stray"]]
)
def test_a_value_that_does_not_fit_is_named(config_file, words, capsys):
    with pytest.raises(UserError, match=f"^{' '.join(words)} does not fit"):
        load_config(config_file, ["--train.seed", "1", *words] if words[0].startswith("--") else words)
    assert capsys.readouterr() == ("", "")  # one sentence, no help page before it


@pytest.mark.usefixtures("as_users_call")
def test_one_text_is_no_list_of_words(config_file):
    with pytest.raises(UserError, match=r"give a list of words: \['--model.feature-dim', '64'\]"):
        load_config(config_file, "--model.feature-dim 64")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model.feature-dim", "100"], "multiple of 4 and of model.num_heads 8"),
        (["--model.window", "6"], "model.window 6 must be a multiple of model.period 4"),
        (["--train.window", "6"], "train.window 6 must be a multiple of model.period 4"),
        (["--model.momentum", "1"], "model.momentum 1.0 must be at least 0 and below 1"),
        (["--model.no-use-audio", "--model.no-use-video"], "can't both be off"),
        (["--model.audio.num-heads", "7"], "must be a multiple of model.audio.num_heads 7"),
        (["--train.batch-size", "0"], "train.batch_size 0 must be at least 1"),
        (["--train.steps", "-1"], "train.steps -1 must be at least 1"),
    ],
)
def test_contradictions_are_refused(config_file, words, message):
    with pytest.raises(UserError, match=message):
        load_config(config_file, words)


def test_files_that_are_no_configuration(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.py does not exist"):
        load_config(tmp_path / "nothing.py")
    path = tmp_path / "other.py"
    path.write_text("settings = 3\n")
    with pytest.raises(UserError, match="must define `config = Config"):
        load_config(path)
    path.write_text("import no_such_module_here\n")
    with pytest.raises(UserError, match="ModuleNotFoundError"):
        load_config(path)
    path.write_text("from reactface_jax.config import *\nconfig = Config(model=ModelConfig(featuredim=3))\n")
    with pytest.raises(UserError, match="featuredim"):
        load_config(path)
    path.write_text("from reactface_jax.config import *\nconfig = Config(model=ModelConfig(momentum=2.0))\n")
    with pytest.raises(UserError, match="must be at least 0 and below 1"):
        load_config(path)


def test_the_nearest_of_one_reaction_is_no_choice() -> None:
    nearest = LossConfig(nearest="reaction")
    with pytest.raises(UserError, match=r"loss.nearest reaction needs several .* train.num_reactions is 1; give 2"):
        Config(loss=nearest, train=TrainConfig(num_reactions=1))
    assert Config(loss=nearest, train=TrainConfig(num_reactions=2)).loss == nearest


def test_who_sees_the_own_frame_only_sees_no_window_before() -> None:
    own = {"alignment": "point_to_point", "sync_memory": "previous"}
    with pytest.raises(UserError, match=r"model.sync_memory previous shows nothing where .* are both point_to_point"):
        ModelConfig(face_alignment="point_to_point", **own)
    assert ModelConfig(**own).sync_memory == "previous"


def test_eyes_need_pictures() -> None:
    with pytest.raises(UserError, match=r"image_size 0 must be positive, or 0 with model.use_video False"):
        Config(data=DataConfig(image_size=0))
    assert Config(data=DataConfig(image_size=0), model=ModelConfig(use_video=False)).data.image_size == 0


@pytest.mark.parametrize("method", ["reactface", "trans-ae", "trans-vae"])
def test_pictures_of_a_few_pixels_leave_nothing_to_see(method: MethodName) -> None:
    with pytest.raises(UserError, match=r"data.image_size 7 must be at least 8"):
        Config(method=method, data=DataConfig(image_size=7))
    assert Config(method=method, data=DataConfig(image_size=8)).data.image_size == 8


def test_trans_vae_needs_pictures() -> None:
    with pytest.raises(UserError, match=r"data.image_size 0 must be at least 8 for trans-vae, which sees pictures"):
        Config(method="trans-vae", data=DataConfig(image_size=0))


@pytest.mark.parametrize(
    ("method", "rates"),
    [
        ("reactface", ("optimizer.learning_rate",)),
        ("trans-ae", ("optimizer.learning_rate",)),
        ("lfi", ("lfi.learning_rate",)),
        ("ng", ("ng.vqvae_rate", "ng.predictor_rate")),
        ("zhou", ("zhou.learning_rate",)),
        ("trans-vae", ("trans_vae.learning_rate",)),
        ("belfusion", ("belfusion.vae_rate", "belfusion.denoiser_rate")),
    ],
)
def test_a_method_knows_its_learning_rates(method: MethodName, rates: tuple[str, ...]) -> None:
    assert Config(method=method).rates == rates
