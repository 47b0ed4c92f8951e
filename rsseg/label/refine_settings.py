"""The ways to refine a label map, and what each can be told."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rsseg.errors import UsageError
from rsseg.learn.methods import describe


class _Settings(BaseModel):
    """What all ways have; each adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    radius: int = Field(3, ge=1, le=10, description="Pixels to each side; a superpixel is 2 radius + 1 wide.")

    @property
    def tags(self) -> dict[str, str]:
        """What a refined map says of itself."""
        told = self.model_dump()
        method = told.pop("method")
        return {"refined_by": method, **{f"refine_{name}": f"{value:g}" for name, value in told.items()}}


class Edges(_Settings):
    """A vote of neighbours, weighted by how near and how alike they are."""

    method: Literal["edges"] = "edges"
    strength: float = Field(3.0, gt=0, le=1000, description="Times the noise that alike pixels may differ by.")
    passes: int = Field(2, ge=1, le=10, description="How often neighbours vote.")


class Spectrum(_Settings):
    """The label nearby whose pixels look most like the pixel; the labels beside it have a say."""

    method: Literal["spectrum"] = "spectrum"
    strength: float = Field(1.0, gt=0, le=1000, description="Times the noise that is smoothed away beforehand.")
    neighbours: float = Field(0.25, ge=0, le=1000, description="What each of 3 x 3 pixels adds for its label, in nats.")


class Superpixels(_Settings):
    """The most frequent label of each superpixel."""

    method: Literal["superpixels"] = "superpixels"


RefineSettings = Annotated[Edges | Spectrum | Superpixels, Field(discriminator="method")]
"""The settings of one way."""

WAYS: dict[str, type[Edges] | type[Spectrum] | type[Superpixels]] = {
    "edges": Edges,
    "spectrum": Spectrum,
    "superpixels": Superpixels,
}

RefineMethod = Literal["edges", "spectrum", "superpixels"]


def refine_settings(method: RefineMethod = "spectrum", **given: Any) -> RefineSettings:
    """Settings of a way from what was given; None stands for the default.

    Raises: UsageError for a value out of range, or one that the way does not take.
    """
    way = WAYS[method]
    chosen = {name: value for name, value in given.items() if value is not None}
    others = {name for other in WAYS.values() for name in other.model_fields}
    for name in sorted(chosen):
        if name in others and name not in way.model_fields:
            takers = " or ".join(other for other, fields in WAYS.items() if name in fields.model_fields)
            raise UsageError(f"{method} takes no {name}; leave --{name} out, or use --method {takers}")
    try:
        return way(**chosen)
    except ValidationError as problem:
        raise UsageError(describe(problem, "refine")) from None
