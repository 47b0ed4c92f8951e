"""``rsseg train METHOD SCENE... -o MODEL``: one subcommand a method, its options made from its settings."""

import json
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import click

from rsseg.cli import options
from rsseg.cli.reference import field
from rsseg.errors import UsageError


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
        for name, setting in reversed(_in_order(settings.model_fields)):
            made = _setting_option(name, setting)(made)
        return click.command(cmd_name, help=f"{summary}\n\nDefaults are the paper's where it gives them.")(made)


def _in_order(fields: dict[str, Any]) -> list[tuple[str, Any]]:
    """Settings as --help lists them: what all methods have to do with what they see comes last."""
    from rsseg.learn.channels.settings import ChannelSettings

    return sorted(fields.items(), key=lambda item: item[0] in ChannelSettings.model_fields)


def _setting_option(name: str, setting: Any) -> Callable[..., Any]:
    """A click option for one field of a settings model."""
    kind = setting.annotation
    if get_origin(kind) in (UnionType, Union):  # None stands for a default that depends on other settings
        kind = next(part for part in get_args(kind) if part is not NoneType)
    choice = click.Choice(get_args(kind)) if get_origin(kind) is Literal else kind
    if get_origin(kind) is tuple:
        choice = options.CommaList()
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
    "normalise": "standardise: mean 0, deviation 1; range: 2nd to 98th percentile to 0..1; robust: by quartiles.",
}


def _shared(function: Callable[..., None]) -> Callable[..., None]:
    decorators = (
        click.argument("scenes", nargs=-1, required=True, type=options.SCENE),
        options.output,
        options.bands,
        options.scale,
        options.aoi,
        options.seed,
        click.option("--restarts", type=click.IntRange(1), default=1, show_default=True, help="Runs; the best stays."),
        click.option("--vote", type=click.IntRange(1), default=1, show_default=True, help="Best runs that vote."),
        click.option("--patience", type=click.IntRange(0), default=5, show_default=True, help="Epochs without gain."),
        options.precision,
        click.option(
            "--compile", is_flag=True, help="Compile the network; seldom worth it on a CPU (docs/training.md)."
        ),
        options.device,
        options.threads,
        options.memory,
        click.option("--init", type=options.FILE, help="A model to start from, of the same network and bands."),
        click.option("--labels", type=options.FILE, help="Polygons or a raster: train a linear head on its classes."),
        field,
        click.option(
            "--label-share",
            type=click.FloatRange(0, 1, min_open=True),
            default=1.0,
            show_default=True,
            help="Part of the labels to train on; the others tell the accuracy.",
        ),
        click.option("--freeze/--no-freeze", default=True, show_default=True, help="With --labels: only the head."),
        click.option("--resume", is_flag=True, help="Go on from the checkpoint that a stopped training left."),
        options.overwrite,
        options.json_output,
        options.common,
    )
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


def _command_of(method: str) -> Callable[..., None]:
    def run(scenes: tuple[Path, ...], as_json: bool, reporter: Any, **given: Any) -> None:
        from rsseg.learn.distributed import is_first
        from rsseg.learn.training import TrainingSettings

        names = ("seed", "restarts", "vote", "patience", "precision", "compile")
        training = TrainingSettings(**{name: given.pop(name) for name in names})
        places = ("output", "init", "bands", "scale", "aoi", "device", "threads", "memory", "resume", "overwrite")
        chosen = {name: given.pop(name) for name in places}
        learn = _train if given["labels"] is None else _finetune
        result, lines = learn(method, scenes, given, {**chosen, "training": training, "reporter": reporter})
        if is_first():
            click.echo(json.dumps(result.as_dict()) if as_json else lines)

    return run


_ON_LABELS = ("labels", "field", "label_share", "freeze")


def _train(method: str, scenes: tuple[Path, ...], given: dict[str, Any], chosen: dict[str, Any]) -> tuple[Any, str]:
    """Train without labels; the result, and what to print of it."""
    from rsseg.learn.methods import settings_of
    from rsseg.pipeline.stages.train import train

    for name in _ON_LABELS:
        if name in _explicit(given):
            raise UsageError(f"--{name.replace('_', '-')} is of training on labels; name them with --labels")
    settings = settings_of(method, **{name: value for name, value in given.items() if name not in _ON_LABELS})
    result = train(scenes, chosen.pop("output"), settings, **chosen)
    shares = result.shares
    told = (
        f"{result.model}: {method} on {result.patches} patches, score {result.score:.4f}, "
        f"{shares['clusters_used']} clusters used, the largest {shares['largest_share']:.0%}"
    )
    return result, told + _next(result.model)


def _finetune(method: str, scenes: tuple[Path, ...], given: dict[str, Any], chosen: dict[str, Any]) -> tuple[Any, str]:
    """Train a head on labels; the result, and what to print of it."""
    from rsseg.learn.distributed import refuse_several
    from rsseg.pipeline.stages.finetune import finetune

    refuse_several("training on labels")
    if chosen["training"].compile:
        raise UsageError("--compile is of training without labels; leave it out")
    if chosen["init"] is None:
        raise UsageError("--labels puts a new head on a model; name the model with --init")
    if len(scenes) > 1:
        raise UsageError("--labels are of one scene; name that one")
    settings = {name: given[name] for name in _explicit(given) if name not in ("labels", "field", "label_share")}
    words = {"method": method, "field": given["field"], "share": given["label_share"], "options": settings}
    output, init = chosen.pop("output"), chosen.pop("init")
    result = finetune(scenes[0], output, init, given["labels"], **words, **chosen)
    told = f"{result.model}: a head on {init}, trained on {sum(result.training.values())} labelled {result.unit}"
    if result.accuracy is None:
        return result, f"{told}; none are held out (--label-share 0.8 would tell the accuracy){_next(result.model)}"
    scores = f"accuracy {result.accuracy['overall_accuracy']:.4f}, mean IoU {result.accuracy['mean_iou']:.4f}"
    return result, f"{told}; {scores} on {result.held_out} held out{_next(result.model)}"


def _explicit(given: dict[str, Any]) -> list[str]:
    """The options that stand on the command line; the others have their defaults."""
    context = click.get_current_context()
    source = click.core.ParameterSource.COMMANDLINE
    return [name for name in given if context.get_parameter_source(name) == source]


def _next(model: str) -> str:
    return f"\nnext: rsseg segment SCENE --model {model} -o labels.tif"


command = MethodGroup(
    "train",
    help="Train METHOD on scenes without labels, or with --labels a new head on a model.\n\n"
    "rsseg train METHOD --help lists a method's settings.",
)
