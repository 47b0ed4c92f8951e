"""Training that starts from a model: the method's network takes the model's tensors."""

from collections.abc import Callable
from typing import Any
from warnings import catch_warnings, simplefilter

from rsseg.errors import ModelError, UsageError, WeightsWarning
from rsseg.learn.methods import build
from rsseg.learn.methods.base import Method, MethodSettings
from rsseg.learn.model import Model


def starting(model: Model, name: str, settings: MethodSettings) -> Callable[[], Method]:
    """What makes methods whose network starts from ``model``, each with the same tensors.

    Heads that only training needs, such as IIC's over-clusters, are no part of a model and start at random.
    Raises: UsageError for a method without training; ModelError if its network is not the model's.
    """
    bands = model.inference.inputs

    def make() -> Method:
        with catch_warnings():
            simplefilter("ignore", WeightsWarning)  # the weights are the model's
            method = build(name, settings, bands)
        method.network.load_state_dict(model.network.state_dict())
        return method

    _check(model, name, settings, bands)
    return make


def _check(model: Model, name: str, settings: MethodSettings, bands: int) -> None:
    with catch_warnings():
        simplefilter("ignore", WeightsWarning)
        method = build(name, settings, bands)
    if not method.phases:
        raise UsageError(f"{name} is fitted at once and starts from no model; leave out --init, or give --labels")
    wanted = {"patch": settings.patch, "classes": method.network.classes, **_described(method.network.spec)}
    own = model.inference
    found = {"patch": own.patch, "classes": own.classes, **_described(own.network)}
    other = [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]
    if other:
        sides = ", ".join(f"{key} {found.get(key)} but here {wanted.get(key)}" for key in other)
        raise ModelError(
            f"the model to start from was made by {own.method} with {sides}; give the method and the options that it "
            "was made with (a model whose labels are k-means' or over-clusters can only be given --labels)"
        )


def _described(spec: Any) -> dict[str, Any]:
    """A network's description as plain words."""
    described: dict[str, Any] = spec.model_dump(mode="json")
    return described
