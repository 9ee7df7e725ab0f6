"""What a device is to an encoder: where tensors go, how they come back, and when its memory runs out."""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from jql.errors import InputError

if TYPE_CHECKING:
    import torch

TOKENS = {"cpu": 4_096, "cuda": 65_536}
"""Tokens of a pack or batch: those of a CPU stay in its cache, a GPU is only busy with many."""
FIXED = {"cpu": (), "cuda": (8_192, 32_768, 65_536)}
"""The last pack of a unit, and those after memory ran out, are smaller."""

# PyTorch's allocator of a CPU, oneDNN (which says no more), and a GPU's matrix library.
_WORDS = ("DefaultCPUAllocator", "could not create a primitive", "CUBLAS_STATUS_ALLOC_FAILED")


@cache
def keep_freed_memory() -> None:
    """Let the C library of Linux keep freed tensors; pages that are new each time cost a sixth of a CPU's encoding."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        largest_kept, least_given_back = -3, -1  # M_MMAP_THRESHOLD, of which 32 MiB is the most, and M_TRIM_THRESHOLD
        libc.mallopt(largest_kept, 32 << 20)
        libc.mallopt(least_given_back, 1 << 30)


class Device:
    """A CPU or a GPU.

    Attributes:
        name: "cpu" or "cuda:0". kind: "cpu" or "cuda".
        tokens: of a pack or batch that is not known to be too large.
        fixed: token counts that packs are filled up to, so that compiled graphs fit; none on a CPU.
    """

    def __init__(self, name: str | None = None) -> None:
        """`name`: None for the GPU where there is one.

        Raises:
            InputError: it is not there.
        """
        import torch

        name = name or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self.kind = torch.device(name).type
            there = self.kind == "cpu" or (torch.device(name).index or 0) < torch.cuda.device_count()
        except RuntimeError:
            there = False
        if not there or self.kind not in TOKENS:
            known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
            raise InputError(f"device {name!r}: not on this machine; expected one of {', '.join(known)}")
        if self.kind == "cpu":
            keep_freed_memory()
        self.name = name
        self.tokens, self.fixed = TOKENS[self.kind], FIXED[self.kind]
        streams = [torch.cuda.Stream(name) for _ in range(2)] if self.kind == "cuda" else None  # type: ignore[no-untyped-call]
        self._streams = streams

    def computes(self, dtype: str) -> str:
        """The type to compute in: float32 in the place of bfloat16 on a CPU that has no instructions for it."""
        import torch

        if dtype != "bfloat16" or self.kind != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return dtype
        return "float32"

    def put(self, array: np.ndarray) -> "torch.Tensor":
        """The array there, copied from pinned memory on a stream of its own."""
        import torch

        tensor = torch.from_numpy(array)
        if self._streams is None:
            return tensor
        inward, work = self._streams[0], torch.cuda.current_stream(self.name)
        with torch.cuda.stream(inward):
            moved = tensor.pin_memory().to(self.name, non_blocking=True)
        work.wait_stream(inward)
        moved.record_stream(work)
        return moved

    def get(self, tensor: "torch.Tensor") -> Callable[[], np.ndarray]:
        """Begin to copy a float32 tensor from there; call what is returned for the array, which waits for it."""
        import torch

        if self._streams is None:
            return tensor.numpy
        outward, done = self._streams[1], torch.cuda.Event()  # type: ignore[no-untyped-call]
        outward.wait_stream(torch.cuda.current_stream(self.name))
        with torch.cuda.stream(outward):
            host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            host.copy_(tensor, non_blocking=True)
            tensor.record_stream(outward)
            done.record(outward)

        def array() -> np.ndarray:
            done.synchronize()
            result: np.ndarray = host.numpy()
            return result

        return array

    def free(self) -> None:
        """Give back what the work before has left in memory."""
        import torch

        if self.kind == "cuda":
            torch.cuda.empty_cache()
        elif hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
            libc.malloc_trim(0)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of a GPU or of this machine."""
    import torch

    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(words in str(error) for words in _WORDS)
