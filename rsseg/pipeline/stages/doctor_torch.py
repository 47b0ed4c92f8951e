"""torch, what it can compute on, and the pretrained weights that it finds."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from rsseg.pipeline.stages.doctor_checks import Check, size

SMALL = 4 << 30
"""Bytes of a GPU below which batches have to be cut."""

VGG = "vgg16_bn-*.pth"

DRIVER, NODES = Path("/proc/driver/nvidia/version"), Path("/dev")


def torch_itself() -> Iterator[Check]:
    """The version, and whether it was built for GPUs of NVIDIA."""
    import torch

    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the CPU only"
    yield Check("torch", f"{torch.__version__}, {built}, {torch.get_num_threads()} threads")


def gpus() -> Iterator[Check]:
    """Each GPU with its memory; a GPU that is there and of no use is a warning, none at all is not."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    if not usable:
        yield _none(bool(torch.version.cuda), " ".join(str(item.message) for item in caught))
        return
    for number in range(torch.cuda.device_count()):
        yield _gpu(number)


def _none(built: bool, said: str) -> Check:
    """Without a usable GPU: fine where there is none."""
    driver = _driver()
    there = driver or sorted(path.name for path in NODES.glob("nvidia[0-9]*"))
    if not there:
        return Check("GPU", "none; rsseg computes on the CPU")
    found = f"there is one, but torch cannot use it ({driver or 'no driver version'})"
    if not built:
        remedy = "install torch for CUDA: https://pytorch.org/get-started/locally"
        return Check("GPU", found, "warning", "training and labelling take the CPU", remedy)
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return Check("GPU", found, "warning", "CUDA_VISIBLE_DEVICES hides it", "unset CUDA_VISIBLE_DEVICES")
    problem = f"training and labelling take the CPU{f': {said}' if said else ''}"
    return Check("GPU", found, "warning", problem, "update NVIDIA's driver, or install torch for an older CUDA")


def _gpu(number: int) -> Check:
    import torch

    described, name = torch.cuda.get_device_properties(number), f"GPU {number}"
    driver = f"; {_driver()}" if _driver() else ""
    try:
        torch.ones(8, device=f"cuda:{number}").sum().item()
        free, total = torch.cuda.mem_get_info(number)
    except RuntimeError as broken:
        found = f"{described.name}: {str(broken).splitlines()[0]}"
        return Check(name, found, "warning", "it cannot be used", f"--device cpu, or another than cuda:{number}")
    found = f"{described.name}, {size(total)}, {size(free)} free{driver}"
    if free < SMALL:
        problem = "other programs hold its memory, or it is small: batches are cut, or training fails"
        return Check(name, found, "warning", problem, "nvidia-smi shows who; or --device cpu")
    return Check(name, found)


def _driver() -> str:
    """NVIDIA's driver as the kernel names it."""
    try:
        words = DRIVER.read_text().split()
    except OSError:
        return ""
    version = next((word for word in words if word[0].isdigit() and "." in word), "")
    return f"driver {version}" if version else ""


def weights() -> Iterator[Check]:
    """Pretrained weights in torch's cache: rsseg itself downloads none."""
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    found = sorted(path.name for path in folder.glob("*.pth")) if folder.is_dir() else []
    if not any(Path(name).match(VGG) for name in found):
        problem = "recal, ddc and gan-imsat start from random weights, or end where ImageNet's are asked for"
        remedy = f"put torchvision's vgg16_bn weights into {folder}; the default map needs none"
        yield Check("weights", f"none of VGG16-BN in {folder}", "warning", problem, remedy)
    else:
        yield Check("weights", f"{', '.join(found)} in {folder}")
