"""What a network had best see of a scene, when nobody says."""

from rsseg.learn.channels.base import Sample
from rsseg.learn.channels.spectral import INDICES, principal_axes

BRIGHT = 0.9
"""Part of the standardised bands' variance above which brightness rules the scene.

Land has about two thirds; clouds and snow, as bright in all bands as nothing else, bring it above this."""


def automatic(sample: Sample, few: bool = False) -> tuple[str, ...]:
    """The words for a scene's channels: components, indices where its bands have the names, brightness, and means.

    Means of 7 x 7 pixels tell town from field, but blur clouds and their shadows, and outweigh the pixel where there
    are only ``few`` classes; they are left out where brightness rules, and of few classes. All were measured
    (docs/quality.md). A single band has no components.
    """
    if len(sample.bands) == 1:
        return ("bands",) if few else ("bands", "means")
    names = {name.casefold() for name in sample.bands}
    indices = ("indices",) if any(names.issuperset(pair) for pair in INDICES.values()) else ()
    means = () if few or ruled_by_brightness(sample) else ("means",)
    return ("components", *indices, "brightness", *means)


def ruled_by_brightness(sample: Sample) -> bool:
    """Whether the first principal component of the standardised bands has more than ``BRIGHT`` of their variance."""
    _, _, sizes, _ = principal_axes(sample.values)
    return bool(sizes[0] > BRIGHT * max(sizes.sum(), 1e-12))
