"""Training by several processes, as torchrun starts them: how they meet, what they send each other, how they end.

The first process (rank 0) decides and writes; all take their part of every batch. Whatever ends one ends all: the first
that fails says why, and the others leave silently with its exit code.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from rsseg.errors import RssegError, RssegWarning, TrainingError, UsageError
from rsseg.learn.gather import alone, processes, rank

Found = TypeVar("Found")

_meetings = count()

MEET = timedelta(minutes=5)
"""How long processes wait for each other at the start: the machines of a cluster do not begin at once."""

PATIENCE = timedelta(hours=1)
"""How long one waits for another that still lives, such as for the first one's k-means at the end."""

INTERRUPTED = 130
"""The exit code of a process that was told to stop."""


def expected() -> int:
    """How many processes were started together, by the environment; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def is_first() -> bool:
    """Whether this is the process that writes files and speaks, by the environment."""
    return expected() == 1 or int(os.environ.get("RANK") or 0) == 0


def refuse_several(what: str) -> None:
    """Raise UsageError, naming ``what``, where several processes were started together."""
    if expected() > 1:
        raise UsageError(f"{what} takes one process, and {expected()} were started; run it without torchrun")


@contextmanager
def together(device: str = "auto") -> Iterator[str]:
    """Connect the processes that torchrun started, and yield the name of the device that this one is to use.

    ``device``: as the user gave it; of several GPUs each process takes that of its number on its machine. Without
    torchrun nothing happens. Processes after the first show no warnings of ours.

    Raises: UsageError if they cannot be connected as they were started; TrainingError if one was lost. A process that
    another's failure ends raises SystemExit with that one's exit code.
    """
    if expected() == 1:
        yield device
        return
    name = device_of(device)
    store = _connect(name)
    try:
        with warnings.catch_warnings():
            if not is_first():
                warnings.simplefilter("ignore", RssegWarning)
            yield name
        _wait()
    except BaseException as problem:
        try:
            _end(store, problem)
        finally:  # only now, since the others notice it; NCCL would wait for those that wait for this one
            if not name.startswith("cuda"):
                distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()


def device_of(device: str) -> str:
    """The device of this process of several.

    Raises: UsageError for one GPU by number, or for more processes on a machine than it has GPUs.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda:"):
        raise UsageError(f"each process takes a GPU of its own; give --device cuda instead of {device}")
    if device != "cuda":
        return device
    number, gpus = int(os.environ.get("LOCAL_RANK") or 0), torch.cuda.device_count()
    if number >= gpus:
        raise UsageError(
            f"this machine has {gpus} GPUs, too few for process {number + 1} on it; give torchrun "
            f"--nproc-per-node {max(1, gpus)}, or --device cpu"
        )
    torch.cuda.set_device(number)
    return f"cuda:{number}"


def _connect(device: str) -> Store:
    """Start the process group; returns the store by which its processes leave each other word."""
    if not distributed.is_available():
        raise UsageError("this PyTorch is built without torch.distributed; run one process, without torchrun")
    # optimisers load it; after the group it would keep that and its threads alive, and the process may end by an abort
    import torch.distributed.nn.functional  # noqa: F401

    gpu = device.startswith("cuda") and distributed.is_nccl_available()
    try:
        store, number, size = next(rendezvous("env://", timeout=MEET))
        store = PrefixStore(f"rsseg/{next(_meetings)}", store)  # what an earlier training left in it is of no use
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if gpu else "gloo",
            store=PrefixStore("training", store),
            rank=number,
            world_size=size,
            timeout=PATIENCE,
        )
    except ValueError as problem:
        raise UsageError(
            f"WORLD_SIZE says that {expected()} processes train together, but they cannot be connected ({problem}); "
            "start them with torchrun, or unset WORLD_SIZE"
        ) from None
    except RuntimeError as problem:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise TrainingError(
            f"the {expected()} processes did not find each other at {where} ({_line(problem)}); "
            "check that all were started, and that the address and port are free and reachable"
        ) from None
    return PrefixStore("end", store)


def _end(store: Store, problem: BaseException) -> None:
    """Leave word of the first failure; any later one, which most often follows from it, ends silently like it."""
    try:
        if store.add("failures", 1) > 1:
            raise SystemExit(int(store.get("code")))
        lost = isinstance(problem, RuntimeError) and _is_lost_connection(problem)
        store.set("code", str(1 if lost else _code(problem)))
    except RuntimeError:  # the store ended with the process that held it
        raise SystemExit(1) from None
    if lost:
        raise TrainingError(
            "another process of the training ended without a word, or does not answer; "
            "check its machine's memory and log, then go on with --resume"
        ) from None


def _code(problem: BaseException) -> int:
    if isinstance(problem, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(problem, SystemExit) and isinstance(problem.code, int):
        return problem.code
    return problem.exit_code if isinstance(problem, RssegError) else 1


def _is_lost_connection(problem: RuntimeError) -> bool:
    text = str(problem).lower()
    words = ("connection closed", "connection reset", "timed out", "gloo", "nccl")
    return isinstance(problem, distributed.DistError) or any(word in text for word in words)


def _line(problem: BaseException) -> str:
    """The first line of a library's complaint."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]


def _wait() -> None:
    """Return when all processes have come here."""
    distributed.all_reduce(torch.zeros(1))


def by_first(work: Callable[[], Found]) -> Found:
    """What ``work`` gives in the first process, in all of them; the others wait and do not do it."""
    if processes() == 1:
        return work()
    found: list[Any] = [None]
    if rank() == 0:
        with alone():
            found[0] = work()
    distributed.broadcast_object_list(found, device=torch.device("cpu"))
    result: Found = found[0]
    return result


def any_process(answer: bool) -> bool:
    """Whether one of the processes says yes."""
    if processes() == 1:
        return answer
    votes = torch.tensor([float(answer)])
    distributed.all_reduce(votes)
    return bool(votes > 0)


def check_alike(what: str, text: str) -> None:
    """Raise TrainingError, naming ``what``, if the processes' texts are not all the same."""
    if processes() == 1:
        return
    texts: list[Any] = [None] * processes()
    distributed.all_gather_object(texts, text)
    other = next((number for number, found in enumerate(texts) if found != texts[0]), None)
    if other is not None:
        raise TrainingError(
            f"processes 1 and {other + 1} differ in {what}; give all the same command, files and memory, and folders "
            "that all machines share"
        )


@torch.no_grad()
def send_module(module: nn.Module) -> None:
    """Give all processes the first one's parameters and buffers."""
    if processes() == 1:
        return
    for tensor in module.state_dict().values():
        sent = tensor.contiguous()
        distributed.broadcast(sent, 0)
        tensor.copy_(sent)


@torch.no_grad()
def average(optimiser: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    """Average the gradients over all processes, in one message; returns the average loss ()."""
    if processes() == 1:
        return loss
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), loss.to(torch.float32).reshape(1)])
    distributed.all_reduce(flat)
    flat /= processes()
    *parts, mean = flat.split([*(gradient.numel() for gradient in gradients), 1])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))
    return mean[0].clone()  # a view would keep all the gradients
