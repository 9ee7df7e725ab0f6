"""Pickles of torch tensors, read without torch and without running anything in them.

A pickle may call whatever it names; here each name stands for an inert class of our own: a hostile file does nothing.
"""

import io
import pickle
import pickletools
from typing import Any, NamedTuple

from jql.errors import DataError

NAMES_LIMIT = 10_000  # distinct global names in a pickle: each costs a class of 1 kB
AGAIN = "download the checkpoint again"


def unpickle(pickled: bytes, where: str) -> Any:
    """What was pickled, of plain values, `Tensor` and `_Unread`.

    Args:
        where: the checkpoint, for the message.

    Raises:
        DataError: damaged or hostile.
    """
    try:
        # Two kinds of opcodes act before find_class is asked: registered extensions, and a memo slot of any number,
        # which makes the unpickler reserve that much memory.
        for count, (opcode, argument, _) in enumerate(pickletools.genops(pickled)):
            if opcode.name.startswith("EXT") or ("PUT" in opcode.name and (argument or 0) > count):
                raise pickle.UnpicklingError(f"opcode {opcode.name} {argument}")
        return _Unpickler(io.BytesIO(pickled)).load()
    except Exception as error:  # a damaged pickle raises whatever its opcodes stumble on
        raise DataError(f"{where}: data.pkl is damaged or hostile ({str(error)[:200]}); {AGAIN}") from error


class _Fixed:
    """What a pickle cannot change: the unpickler sets attributes only of objects without __setstate__."""

    __slots__ = ()

    @staticmethod
    def __setstate__(*state: Any) -> None:
        """Nothing; static, since a pickle may apply it to the class too."""


class _Inert(type):
    def __setitem__(cls, key: Any, value: Any) -> None:
        pass


class _Unread(_Fixed, metaclass=_Inert):
    """A name in the pickle that we do not follow: called, instantiated or filled, it stays itself."""

    name = ""

    def __new__(cls, *args: Any, **options: Any) -> Any:
        return cls

    append = extend = add = _Fixed.__setstate__


class Storage(NamedTuple):
    """The entry data/<key>, of `length` values."""

    type_name: str
    key: str
    length: int


class Tensor(_Fixed):
    """In place of torch._utils._rebuild_tensor_v2: where a tensor lies in its storage; shape and strides in values."""

    __slots__ = ("offset", "shape", "storage", "strides")
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __new__(cls, storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> "Tensor":
        """The place; refuses what is not one, whatever the pickle passed."""
        if not (isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)):
            raise pickle.UnpicklingError("a tensor without storage, shape and strides")
        made = super().__new__(cls)
        made.storage, made.offset, made.shape, made.strides = storage, offset, shape, strides
        return made


class _Parameter(_Fixed):
    """In place of torch._utils._rebuild_parameter."""

    def __new__(cls, tensor: Any, *rest: Any) -> Any:
        return tensor


class _Ordered(_Fixed, dict[Any, Any]):
    """In place of collections.OrderedDict, whose _metadata we leave out."""

    __slots__ = ()


KNOWN = {
    "torch._utils._rebuild_tensor_v2": Tensor,
    "torch._utils._rebuild_parameter": _Parameter,
    "collections.OrderedDict": _Ordered,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._unread: dict[str, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        """One of our own classes, never what the pickle names."""
        full = f"{module}.{name}"
        if full in KNOWN:
            return KNOWN[full]
        if len(self._unread) == NAMES_LIMIT:
            raise pickle.UnpicklingError(f"more than {NAMES_LIMIT} names")
        return self._unread.setdefault(full, _Inert("_Unread", (_Unread,), {"name": full}))

    def persistent_load(self, saved: Any) -> Storage:
        """The storage that torch names ("storage", type, key, device, number of values)."""
        _, kind, key, _, length = saved
        if not (isinstance(kind, _Inert) and isinstance(key, str) and type(length) is int and length >= 0):
            raise pickle.UnpicklingError("a storage without type, key and length")
        return Storage(kind.name, key, length)  # type: ignore[attr-defined]
