"""All kinds of channels, and the words by which settings ask for them."""

from typing import Annotated

from pydantic import Field

from rsseg.learn.channels.backbone import LAYERS, Backbone
from rsseg.learn.channels.base import Channel
from rsseg.learn.channels.local import Means, Texture
from rsseg.learn.channels.spectral import Bands, Brightness, Components, Indices

AnyChannel = Annotated[
    Bands | Components | Indices | Brightness | Texture | Means | Backbone, Field(discriminator="kind")
]
"""What a model file may name."""

WORDS: dict[str, type[Channel]] = {
    "bands": Bands,
    "components": Components,
    "indices": Indices,
    "brightness": Brightness,
    "texture": Texture,
    "means": Means,
    **dict.fromkeys(LAYERS, Backbone),
}
"""A word, or what stands before its colon, and the channels that it asks for."""


AUTO = "auto"
"""The word that leaves the choice to the scene; it stands alone."""


def kind_of(word: str) -> type[Channel]:
    """The kind of channels that a word such as ``indices`` or ``vgg16:relu2_2`` asks for.

    Raises: ValueError listing the words.
    """
    prefix, colon, _ = word.partition(":")
    found = WORDS.get(prefix)
    if found is None or (colon and not found.takes_layer):
        raise ValueError(f"nothing is called {word!r}; choose of {', '.join(WORDS)}")
    return found
