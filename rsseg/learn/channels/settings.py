"""What of a scene a method is to see: settings that every method has."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from rsseg.learn.channels.kinds import AUTO, kind_of


class ChannelSettings(BaseModel):
    """Which channels a network sees, and whether the bands are smoothed before.

    What has its default is left out of what is recorded: models, checkpoints and caches of rsseg's before there were
    these settings stay good.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: tuple[str, ...] = Field(
        ("bands",),
        min_length=1,
        description="All that the network sees: bands, components, indices, brightness, texture, means, and "
        "pretrained features such as resnet18:layer1; or auto, by the scene.",
    )
    denoise: bool = Field(False, description="Smooth the bands first, edges excepted.")
    backbone: str = Field("imagenet", description="Weights of pretrained features: imagenet, or a file.")

    @field_validator("channels", mode="before")
    @classmethod
    def _split(cls, words: Any) -> Any:
        """A text may name several with commas, as the command line does."""
        return tuple(word.strip() for word in words.split(",")) if isinstance(words, str) else words

    @field_validator("channels")
    @classmethod
    def _known(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if words == (AUTO,):
            return words
        for number, word in enumerate(words):
            kind_of(word)
            if word in words[:number]:
                raise ValueError(f"{word} is named twice; name each once")
        return words

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = handler(self)
        fields = ChannelSettings.model_fields
        return {
            key: value for key, value in plain.items() if key not in fields or getattr(self, key) != fields[key].default
        }

    @property
    def few_classes(self) -> bool:
        """Whether ``auto`` is asked for a map of few classes."""
        return False

    @property
    def plain(self) -> bool:
        """Whether the network sees the bands as they are."""
        return self.channels == ("bands",) and not self.denoise

    def check_channels(self) -> None:
        """Raise early what fitting would only meet late, such as missing weights."""
        for word in () if self.channels == (AUTO,) else self.channels:
            kind_of(word).check(word, self.backbone)
