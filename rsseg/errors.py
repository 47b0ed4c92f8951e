"""The few exception and warning types that a user can meet.

Every message is one sentence that says what is wrong, where, and what to do. The command line prints it without a
traceback and exits with ``exit_code``.
"""


class RssegError(Exception):
    """The run failed for a reason that the message explains (exit code 1)."""

    exit_code = 1


class UsageError(RssegError):
    """What was asked for cannot be done as asked: options, pipeline keys, existing outputs (exit code 2)."""

    exit_code = 2


class InputError(RssegError):
    """An input file or product is missing, broken, or not what it should be."""


class GridError(RssegError):
    """Rasters, polygons or patches do not fit on each other's grid."""


class ModelError(RssegError):
    """A model file cannot be read, or does not fit the scene it is applied to."""


class TrainingError(RssegError):
    """Training cannot go on: no valid patch, a loss that is not finite, a fit that is impossible."""


class BusyError(RssegError):
    """Another process works on the same output (exit code 3)."""

    exit_code = 3


class ResourceError(RssegError):
    """The machine lacks what the work needs: disk, memory, a scheduler that answers (exit code 4)."""

    exit_code = 4


class RssegWarning(UserWarning):
    """Base of the warnings that the command line shows as one line."""


class CalibrationWarning(RssegWarning):
    """A calibration was chosen among contradicting or missing sources."""


class WeightsWarning(RssegWarning):
    """A network starts from other weights than the method's paper."""


class CollapseWarning(RssegWarning):
    """A clustering uses far fewer clusters than it was given."""


class MemoryWarning(RssegWarning):
    """A batch did not fit in memory and is computed in parts."""
