"""Any network from what a model file records of it."""

from rsseg.learn.networks.dense import DenseNetwork, DenseNetworkSpec
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec
from rsseg.learn.networks.vote import DenseVote, PatchVote, VoteNetwork, VoteSpec

Spec = PatchNetworkSpec | DenseNetworkSpec | VoteSpec
Network = PatchNetwork | DenseNetwork | VoteNetwork


def build_network(spec: Spec, bands: int, size: int, classes: int) -> Network:
    """The network that ``spec`` describes, with random weights."""
    if isinstance(spec, PatchNetworkSpec):
        return PatchNetwork(spec, bands, size, classes)
    if isinstance(spec, DenseNetworkSpec):
        return DenseNetwork(spec, bands, classes)
    if isinstance(spec.of, DenseNetworkSpec):
        return DenseVote(spec, [DenseNetwork(spec.of, bands, classes) for _ in range(spec.members)])
    return PatchVote(spec, [PatchNetwork(spec.of, bands, size, classes) for _ in range(spec.members)])


def is_dense(network: Network) -> bool:
    """Whether the network labels pixels of tiles rather than patches."""
    return isinstance(network, DenseNetwork | DenseVote)
