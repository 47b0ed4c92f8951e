"""What a run will take on this machine: its own stages, rehearsed on small parts of its own scene, and scaled up."""

from rsseg.pipeline.estimate.result import Estimate, estimate

__all__ = ["Estimate", "estimate"]
