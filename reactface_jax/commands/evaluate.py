"""`reactface eval`: measures a model on a split of shards, or anyone's reactions as arrays.

    reactface eval --checkpoint runs/reference [--data SHARDS] [--split test] [--out DIR]
    reactface eval --methods reactface=runs/reference ng=runs/ng mirror delayed-mirror … --out DIR
    reactface eval --predictions [NAME=]FILE … --speaker S --listener L --neighbours M --out DIR

Fields of the run's configuration can be changed, such as `--eval.num-reactions 3`; docs/metrics.md explains the
figures.
"""

import itertools
from collections.abc import Sequence

from rich.console import Console

from reactface_jax.compiled_programs import keep_compiled_programs
from reactface_jax.config import Config, HostsConfig, apply_overrides
from reactface_jax.config_flags import parse_with_fields
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.evaluation.arguments import Arguments


@reports_user_errors
def main(words: Sequence[str] | None = None) -> None:
    """Runs the words of a command line, the program's own by default."""
    # ---- Command line
    arguments, fields = parse(words)
    keep_compiled_programs()
    console = Console(markup=False, emoji=False)  # names from files are shown as they are

    # ---- Reactions and figures, imported now that the command line is right
    from reactface_jax.evaluation.evaluate_predictions import evaluate_predictions
    from reactface_jax.evaluation.evaluate_run import evaluate_run
    from reactface_jax.evaluation.result import write
    from reactface_jax.training import hosts

    if arguments.predictions:
        evaluation, out = evaluate_predictions(arguments, console)
        write(evaluation, out, console, arguments.page_clips)
        return
    hosts.join(hosts_of(fields))  # the job's other processes, if any
    with hosts.ending_together():
        console.quiet = not hosts.is_first()
        found = evaluate_run(arguments, fields, console)

        # ---- Report and page, by the first process
        if found is not None:
            evaluation, out = found
            write(evaluation, out, console, arguments.page_clips)
        hosts.wait_for_all("the report is written")


def parse(words: Sequence[str] | None) -> tuple[Arguments, list[str]]:
    """Reads the command line: flags, and words that change the configuration. Raises `UserError` for mistakes."""
    arguments, fields = parse_with_fields(
        Arguments, words, prog="reactface eval", fields_of=lambda _: Config, shown=_config
    )
    if arguments.predictions and fields:
        raise UserError(f"{fields[0]} goes with runs; with --predictions leave it out")
    for flag, field, given in (("--data", "--data.dir", arguments.data), ("--split", "--eval.split", arguments.split)):
        if given is None:
            continue
        for name, value in itertools.pairwise(fields):
            if name == field and value != given:
                raise UserError(f"{flag} {given} and {field} {value} contradict each other; give one of them")
        fields += [field, given]
    return arguments, fields


def hosts_of(fields: Sequence[str]) -> HostsConfig:
    """What the command line says of the job's processes; what a training said is not taken over."""
    words: list[str] = []
    for index, word in enumerate(fields):
        if word.startswith("--hosts."):
            words += fields[index : index + (1 if "=" in word else 2)]
    return apply_overrides(Config(), words).hosts


def _config(arguments: Arguments | None) -> Config:
    """The configuration that `--help` shows: the model's, where the command line says which."""
    if arguments is None or arguments.predictions:
        return Config()
    from reactface_jax.evaluation.asked_methods import asked_methods

    stored = [one.stored for one in asked_methods(arguments) if one.stored is not None]
    return stored[0].config if stored else Config()


if __name__ == "__main__":
    main()
