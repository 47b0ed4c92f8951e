"""``rsseg train METHOD SCENE... -o MODEL``: one subcommand a method, its options made from its settings."""

import json
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import click

from rsseg.cli import options


class MethodGroup(click.Group):
    """The methods as subcommands; they are imported when one is listed or used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The methods' names."""
        from rsseg.learn.methods import METHODS

        return list(METHODS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of one method, with an option for each of its settings."""
        from rsseg.learn.methods import METHODS

        if cmd_name not in METHODS:
            return None
        settings, implementation = METHODS[cmd_name]
        summary = (implementation.__doc__ or "").strip().splitlines()[0]
        made: Callable[..., None] = _shared(_command_of(cmd_name))
        for name, setting in reversed(settings.model_fields.items()):
            made = _setting_option(name, setting)(made)
        return click.command(cmd_name, help=f"{summary}\n\nDefaults are the paper's where it gives them.")(made)


def _setting_option(name: str, setting: Any) -> Callable[..., Any]:
    """A click option for one field of a settings model."""
    kind = setting.annotation
    if get_origin(kind) in (UnionType, Union):  # None stands for a default that depends on other settings
        kind = next(part for part in get_args(kind) if part is not NoneType)
    choice = click.Choice(get_args(kind)) if get_origin(kind) is Literal else kind
    flag = f"--{name.replace('_', '-')}"
    if kind is bool:
        flag = f"{flag}/--no-{name.replace('_', '-')}"
    text = setting.description or _COMMON_HELP.get(name, "")
    return click.option(flag, name, type=choice, default=setting.default, show_default=True, help=text)


_COMMON_HELP = {
    "classes": "Clusters to find, at most 255.",
    "patch": "Side of a patch in pixels.",
    "stride": "Step between patches in pixels.",
    "epochs": "Passes over the training patches, at most.",
    "cut": "scene: three poolings, whatever the patch; input: as many as take the patch to 1 x 1.",
    "normalise": "standardise: mean 0, deviation 1; range: 2nd to 98th percentile to 0..1.",
}


def _shared(function: Callable[..., None]) -> Callable[..., None]:
    decorators = (
        click.argument("scenes", nargs=-1, required=True, type=options.SCENE),
        options.output,
        options.bands,
        options.scale,
        options.seed,
        click.option("--restarts", type=click.IntRange(1), default=1, show_default=True, help="Runs; the best stays."),
        click.option("--vote", type=click.IntRange(1), default=1, show_default=True, help="Best runs that vote."),
        click.option("--patience", type=click.IntRange(0), default=5, show_default=True, help="Epochs without gain."),
        options.precision,
        options.device,
        options.threads,
        options.memory,
        click.option("--resume", is_flag=True, help="Go on from the checkpoint that a stopped training left."),
        options.overwrite,
        options.json_output,
        options.common,
    )
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


def _command_of(method: str) -> Callable[..., None]:
    def run(scenes: tuple[Path, ...], output: Path, as_json: bool, reporter: Any, **given: Any) -> None:
        from rsseg.learn.methods import settings_of
        from rsseg.learn.training import TrainingSettings
        from rsseg.pipeline.stages.train import train

        names = ("seed", "restarts", "vote", "patience", "precision")
        training = TrainingSettings(**{name: given.pop(name) for name in names})
        places = ("bands", "scale", "device", "threads", "memory", "resume", "overwrite")
        chosen = {name: given.pop(name) for name in places}
        settings = settings_of(method, **given)
        result = train(scenes, output, settings, training=training, reporter=reporter, **chosen)
        if as_json:
            click.echo(json.dumps(result.as_dict()))
            return
        shares = result.shares
        click.echo(
            f"{result.model}: {method} on {result.patches} patches, score {result.score:.4f}, "
            f"{shares['clusters_used']} clusters used, the largest {shares['largest_share']:.0%}"
        )
        click.echo(f"next: rsseg segment SCENE --model {result.model} -o labels.tif")

    return run


command = MethodGroup(
    "train",
    help="Train METHOD on scenes without labels.\n\nrsseg train METHOD --help lists a method's settings.",
)
