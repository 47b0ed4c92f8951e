"""Settings of GAN + IMSAT, with the paper's numbers and those of its authors' published code as named presets."""

from typing import Literal, NamedTuple, TypeVar

from pydantic import Field

from rsseg.learn.losses.imsat import Constants
from rsseg.learn.methods.base import MethodSettings


class Numbers(NamedTuple):
    """What depends on whose constants are taken."""

    balance_weight: float
    gan_rate: float


class Layout(NamedTuple):
    """What the paper chooses by the data set, with the discriminator's layout (sections IV-C and IV-D)."""

    noise: int
    alpha_random: float
    alpha_adversarial: float
    deviation: float


Preset = TypeVar("Preset", Numbers, Layout)
CONSTANTS = {"paper": Numbers(1.0, 1e-4), "code": Numbers(4.0, 2e-4)}
LAYOUTS = {"dense": Layout(200, 0.3, 0.15, 1e-3), "flat": Layout(100, 1.0, 0.2, 1e-2)}


class GanImsatSettings(MethodSettings):
    """Settings of GAN + IMSAT; None takes the number of the named preset, the rest is ours where it is marked."""

    epochs: int = Field(40, ge=1, description="Ours, of the classifier: the paper has 1000, its code 200.")
    gan_epochs: int = Field(40, ge=1, description="Ours: the authors' code takes 250,000 steps and more.")
    constants: Literal["paper", "code"] = Field("code", description="Whose balance_weight and gan_rate.")
    layout: Literal["dense", "flat"] = Field(
        "flat",
        description="The discriminator and its constants: dense, for CIFAR; flat, for MNIST, a fifth of the cost.",
    )
    width: int | None = Field(None, ge=1, description="Of the first convolution: 64 if dense, 32 if flat.")
    sobel: bool = Field(True, description="Show the discriminator Sobel gradients too.")
    noise: int | None = Field(None, ge=1, description="Numbers that the generator starts from: 200, 100.")
    gan_batch: int = Field(128, ge=2)
    gan_rate: float | None = Field(None, gt=0, description="Adam's: 1e-4 in the paper, 2e-4 in the code.")
    penalty: float = Field(1e-3, ge=0, description="Weight of the limit of 20 on the features; the code's.")
    batch: int = Field(500, ge=2)
    learning_rate: float = Field(1e-4, gt=0, description="Adam's, of the classifier.")
    units: int = Field(1024, ge=1, description="Of each of the classifier's two hidden layers; most of its cost.")
    heads: int = Field(5, ge=1)
    over_heads: int = Field(1, ge=0)
    over_classes: int | None = Field(None, ge=2, description="Clusters of an over-cluster head: 5 times the classes.")
    copies: int = Field(5, ge=1, description="Perturbed copies of each sample in a batch.")
    vat: bool = Field(True, description="Virtual adversarial training (eq. 6).")
    dropout_divergence: bool = Field(True, description="Equal answers under dropout in the discriminator (eq. 8).")
    dropout: float = Field(0.1, ge=0, lt=1, description="Its rate.")
    rim_weight: float = Field(0.2, ge=0, description="The paper's lambda.")
    balance_weight: float | None = Field(None, ge=0, description="Of equal cluster sizes: 1 in the paper, 4 in code.")
    delta: float = Field(1e-4, ge=0, le=1, description="Tolerated inequality of cluster sizes, in parts of ln k.")
    over_delta: float = Field(1e-2, ge=0, le=1, description="The same, of the over-cluster heads.")
    alpha_random: float | None = Field(None, gt=0, description="Random step before the adversarial one: 0.3, 1.0.")
    alpha_adversarial: float | None = Field(None, gt=0, description="Adversarial step, in norms of M: 0.15, 0.2.")
    deviation: float | None = Field(None, gt=0, description="Of the classifier's first weights: 1e-3, 1e-2.")
    labels_from: Literal["classifier", "kmeans"] = Field(
        "classifier", description="kmeans: cluster the features M instead (Table IV)."
    )

    @property
    def numbers(self) -> Numbers:
        """The constants in use."""
        return _chosen(CONSTANTS[self.constants], self)

    @property
    def sizes(self) -> Layout:
        """The numbers that go with the layout, in use."""
        return _chosen(LAYOUTS[self.layout], self)

    @property
    def features(self) -> str:
        """The features' name in the model file."""
        return ("dcgan" if self.layout == "dense" else "dcgan-flat") + ("" if self.sobel else "-no-sobel")

    @property
    def loss(self) -> Constants:
        """The numbers of eq. 9."""
        deltas = [self.delta] * self.heads + [self.over_delta] * self.over_heads
        step, sizes = self.numbers.balance_weight, self.sizes
        return Constants(deltas, self.rim_weight, step, sizes.alpha_random, sizes.alpha_adversarial, self.vat)


def _chosen(preset: Preset, settings: GanImsatSettings) -> Preset:
    """The preset, with what the settings give instead."""
    given = {name: getattr(settings, name) for name in preset._fields}
    return preset._replace(**{name: value for name, value in given.items() if value is not None})
