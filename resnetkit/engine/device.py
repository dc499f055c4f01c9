"""The machine: device, precision, memory format and memory. The only room that knows hardware."""

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import ResourceError

FEW = 1e9  # multiply-adds of a step, forward
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Machine:
    """Where and in what precision a network runs."""

    device: torch.device
    precision: str  # fp32, bf16 or fp16: of the forward pass; weights stay float32

    def prepare(self, model: nn.Module) -> nn.Module:
        """Move a network here, channels last: convolutions then read each pixel's channels side by side."""
        return model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def autocast(self) -> AbstractContextManager[object]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, DTYPES[self.precision])

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling, which fp16 needs: its smallest gradients would vanish. In other precisions it does nothing."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    def images(self, pixels: NDArray[np.uint8] | Tensor, preprocess: Preprocess) -> Tensor:
        """Pictures as the network takes them: uint8 (n, h, w, c) -> normalised float32 (n, c, h, w), channels last.

        Maps, which are tensors already, are only moved.
        """
        if isinstance(pixels, Tensor):
            return pixels.to(self.device, non_blocking=True)
        return normalised(self.put(pixels), *self.scale(preprocess))

    def scale(self, preprocess: Preprocess) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each channel, (c, 1, 1)."""
        mean, std = (torch.tensor(some, device=self.device) for some in (preprocess.mean, preprocess.std))
        return mean.view(-1, 1, 1), std.view(-1, 1, 1)

    def put(self, numbers: NDArray[Any]) -> Tensor:
        return torch.from_numpy(numbers).to(self.device, non_blocking=True)

    def fingerprint(self) -> dict[str, object]:
        """What has to be equal for a run to repeat to the bit."""
        return {
            "device": str(self.device)
            if self.device.type == "cpu"
            else torch.cuda.get_device_name(self.device)
            if self.device.type == "cuda"
            else self.device.type,
            "precision": self.precision,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "processor": torch.backends.cpu.get_cpu_capability(),
            "system": f"{platform.system()} {platform.machine()}",
        }

    def release(self) -> None:
        """Give back what a failed step has left in a device's own store of memory."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def peak_memory(self) -> int:
        """Bytes: the most this process held so far, or the device where it has a memory of its own."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        if sys.platform == "win32":
            return 0
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def normalised(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 (n, h, w, c) -> float32 (n, c, h, w), channels last."""
    return pixels.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)


def choose(device: str = "auto", precision: str = "auto") -> Machine:
    """The machine that was asked for, or the best one here. ResourceError where it is not to be had."""
    found = available()
    if device == "auto":
        device = found[0]
    kind = device.partition(":")[0]
    if kind not in {name.partition(":")[0] for name in found} or (":" in device and device not in found):
        raise ResourceError(f"there is no device {device} here (found: {', '.join(found)})", f"--device {found[0]}")
    where = torch.device(device)
    if precision == "auto":
        precision = best_precision(where)
    if precision == "fp16" and where.type == "cpu":
        raise ResourceError("a CPU has no fp16 that networks run in", "--precision bf16 or fp32")
    keep_memory()
    if where.type == "cuda":
        torch.backends.cudnn.benchmark = False  # the fastest algorithm of the moment is not the same twice
        torch.backends.cudnn.deterministic = True
    return Machine(where, precision)


def available() -> list[str]:
    """Devices found, best first; the CPU is always there."""
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def best_precision(device: torch.device) -> str:
    """What networks run in fastest without being asked: half a float where the hardware is made for it, else float32.

    A processor needs AMX for that: with AVX-512's bf16 alone training took 1.2 to 1.3 times as long as in float32.
    """
    if device.type == "cpu" and not torch.cpu._is_amx_tile_supported():  # noqa: SLF001  as in half
        return "fp32"
    return half(device)


def half(device: torch.device) -> str:
    """bf16 where the hardware multiplies it; fp16 on GPUs without; float32 elsewhere."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # torch names no public way to ask a processor whether it multiplies bf16 itself.
    native = device.type == "cpu" and (
        torch.cpu._is_amx_tile_supported()  # noqa: SLF001
        or torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001
    )
    return "bf16" if native else "fp32"


@contextmanager
def threads(macs: float) -> Iterator[None]:
    """One computing thread for a step of few multiply-adds: two would wait for each other longer than they work.

    resnet20 on 64 digits of 8x8 has 0.2 billion and trains about three times as fast in one thread; on 128 pictures of
    32x32 it has 5 billion and trains 1.6 times as fast in two.
    """
    before = torch.get_num_threads()
    if macs < FEW:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_memory() -> None:
    """Let glibc keep freed memory: given back, every training step would fault its activations in again.

    Three parameters of mallopt(3): no mmap for large blocks, never trim, grow by 512 MiB.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter, value in ((-4, 0), (-1, 2**31 - 1), (-2, 512 * 2**20)):
        libc.mallopt(parameter, value)
