"""Methods: objects with phases that training runs without knowing them by name."""

from typing import Any

from pydantic import ValidationError

from rsseg.errors import UsageError
from rsseg.learn.methods.base import Method, MethodSettings
from rsseg.learn.methods.context import Context, ContextSettings
from rsseg.learn.methods.ddc import Ddc, DdcSettings
from rsseg.learn.methods.gan_imsat import GanImsat
from rsseg.learn.methods.gan_settings import GanImsatSettings
from rsseg.learn.methods.iic import Iic, IicSettings
from rsseg.learn.methods.iic_dense import IicDense, IicDenseSettings
from rsseg.learn.methods.kmeans import Kmeans, KmeansSettings
from rsseg.learn.methods.recal import Recal, RecalSettings
from rsseg.learn.methods.wce import Wce, WceSettings

METHODS: dict[str, tuple[type[MethodSettings], Any]] = {
    "context": (ContextSettings, Context),
    "recal": (RecalSettings, Recal),
    "iic": (IicSettings, Iic),
    "iic-dense": (IicDenseSettings, IicDense),
    "ddc": (DdcSettings, Ddc),
    "wce": (WceSettings, Wce),
    "gan-imsat": (GanImsatSettings, GanImsat),
    "kmeans": (KmeansSettings, Kmeans),
}
"""Name -> settings, and the method built from (settings, bands, patch size)."""


def settings_of(method: str, **options: Any) -> MethodSettings:
    """The checked settings of a method; options that are None take the default.

    Raises: UsageError naming the method, the option and what it may be.
    """
    if method not in METHODS:
        raise UsageError(f"no method is called {method!r}; choose one of {', '.join(METHODS)}")
    given = {key: value for key, value in options.items() if value is not None}
    try:
        return METHODS[method][0](**given)
    except ValidationError as problem:
        raise UsageError(describe(problem, method)) from None


def describe(problem: ValidationError, where: str) -> str:
    """The complaint of a validation that helps most, as one sentence."""
    # a misspelt key explains the missing one
    first = min(problem.errors(), key=lambda error: error["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    if first["type"] == "extra_forbidden":
        return f"{where} has no setting {key!r}; check its spelling"
    if first["type"] == "missing":
        return f"{where} lacks {key!r}, which is needed"
    if first["type"] == "value_error":
        return f"{where}: {key}: {reason}"
    return f"{where}: {key} = {first['input']!r} cannot be used ({reason})"


def build(method: str, settings: MethodSettings, bands: int) -> Method:
    """The method, its network built for ``bands`` bands and the settings' patch."""
    made: Method = METHODS[method][1](settings, bands, settings.patch)
    return made
