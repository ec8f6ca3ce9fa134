"""Following a foreign pickle without running what is inside it.

A pickle is a small program that may call any importable function by name, so unpickling a stranger's file normally
means running a stranger's code. Here the names are listed first; then they are looked up in the closed tables below
and nowhere else. PyTorch's own `weights_only` reader is not used for this: it keeps a list that cannot be shortened
(`_codecs.encode`, `torch._utils._rebuild_wrapper_subclass`), what is added to it holds for the whole process, and it
reads every tensor, the optimiser's too.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch

STORAGES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
# What official checkpoints mention and what becomes an inert record: plain identifiers below these modules.
RECORDS = re.compile(
    r"((yolov5\.)?models|ultralytics|torch\.nn\.modules)(\.[A-Za-z]\w*)*\.(?!__)[A-Za-z_]\w*"
    r"|numpy\.(_?core\.multiarray\.(scalar|_reconstruct)|ndarray|dtype|bool_?|u?int\d+|float\d+|dtypes\.[A-Za-z]\w*)"
    r"|pathlib\.(_local\.)?(Pure)?(Posix|Windows)?Path"
    r"|_codecs\.encode",  # how protocol 2 writes the bytes of a numpy scalar
    re.ASCII,
)
STRINGS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
MARK = (None, 0, 1)  # compared by identity
# What hashing a tuple may cost, of which a key has to be hashed again and again: a tensor's arguments are tuples of
# tuples of some twenty numbers, the state of a random generator is one of six hundred.
DEEPEST_TUPLE, HEAVIEST_TUPLE = 100, 2000
MOST_STEPS = 1_000_000  # each may leave something in memory
LARGEST_NUMBER = 2**64  # keys that are larger could be made to collide


class UnknownName(Exception):
    """Names in a pickle that are neither rebuilt nor an inert record; `args` are the names."""


class _Closed:
    """A value that the pickle may pass around but not change."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("its pickle tries to change what is not its own")


class Record:
    """Stands for an object of a class that we do not have: class name, arguments and attributes, no behaviour."""

    __slots__ = ("args", "state")
    path = ""

    def __new__(cls, *args: object, **kwargs: object) -> Record:
        record = object.__new__(cls)
        record.args, record.state = args, None
        return record

    def __setstate__(self, state: object) -> None:
        self.state = state

    def get(self, attribute: str) -> Any:
        """The attribute that the object was saved with, None without it."""
        return self.state.get(attribute) if isinstance(self.state, dict) else None


class _Storage(_Closed):
    __slots__ = ("dtype", "key", "numel", "read")

    def __init__(self, read: Callable, key: str, dtype: torch.dtype, numel: int):
        self.read, self.key, self.dtype, self.numel = read, key, dtype, numel


class StoredTensor(_Closed):
    """A tensor that is still in the file: storage, offset, shape and stride in elements."""

    __slots__ = ("offset", "shape", "storage", "stride")

    def __init__(self, storage: _Storage, offset: int, shape: tuple, stride: tuple, *_: object):
        self.storage, self.offset, self.shape, self.stride = storage, offset, tuple(shape), tuple(stride)

    def load(self) -> torch.Tensor:
        """Read it: a contiguous copy in the stored dtype. Sizes are checked against the file, not believed."""
        numbers = (self.offset, *self.shape, *self.stride)
        if len(self.shape) != len(self.stride) or not all(type(n) is int and 0 <= n < 2**31 for n in numbers):
            raise pickle.UnpicklingError("a tensor with an impossible shape")
        flat = self.storage.read(self.storage.key, self.storage.dtype, self.storage.numel)
        count = torch.Size(self.shape).numel()
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))
        if count > flat.numel() or (count and last >= flat.numel()):
            raise pickle.UnpicklingError("a tensor that is larger than its storage")
        return flat.as_strided(self.shape, self.stride, self.offset).clone(memory_format=torch.contiguous_format)


class _Ordered(OrderedDict):
    def __setstate__(self, state: object) -> None:
        """Attributes of an ordered dictionary (a state dict's version table) are of no use here."""


class _Function(_Closed):
    """The only callables besides records: the pickle can call them but neither see nor alter what they wrap."""

    __slots__ = ("call", "dtype")

    def __init__(self, call: Callable | None, dtype: torch.dtype | None = None):
        self.call, self.dtype = call, dtype

    def __call__(self, *args: object) -> object:
        if self.call is None:
            raise pickle.UnpicklingError("a storage type is called")
        return self.call(*args)


def _tensor(storage: object, *args: Any) -> StoredTensor:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return StoredTensor(storage, *args)


def _parameter(data: object, *_: object) -> StoredTensor:
    if not isinstance(data, StoredTensor):
        raise pickle.UnpicklingError("a parameter without a tensor")
    return data


def _size(values: tuple) -> torch.Size:
    return torch.Size([int(value) for value in values])


REBUILT = {
    "collections.OrderedDict": _Function(_Ordered),
    "__builtin__.set": _Function(set),
    "builtins.set": _Function(set),
    "torch.Size": _Function(_size),
    "torch._utils._rebuild_tensor": _Function(_tensor),
    "torch._utils._rebuild_tensor_v2": _Function(_tensor),
    "torch._utils._rebuild_parameter": _Function(_parameter),
    "torch._utils._rebuild_parameter_with_state": _Function(_parameter),
    **{name: _Function(None, dtype) for name, dtype in STORAGES.items()},
}


def _path(module: str, name: str) -> str:
    """`module.name`; a name that walks through attributes (`a.__class__`) is kept apart and so matches nothing."""
    return f"{module}:{name}" if "." in name else f"{module}.{name}"


def list_globals(data: bytes) -> list[str]:
    """Every class or function that the pickle names, as `module.name`, in order of appearance; nothing is loaded.

    Follows the pickle's stack with strings and the shapes of tuples only. Raises `pickle.UnpicklingError` for what
    could not be followed safely (extension codes, computed names, tuples nested so deep or shared so often that
    hashing one would overflow the C stack or never end, huge numbers, steps without end), and `ValueError` or
    `IndexError` for bytes that are no pickle.
    """
    names: dict[str, None] = {}
    stack: list[Any] = []  # (string or None, depth and size of nested tuples), MARK where the pickle puts its mark
    memo: dict[int, tuple] = {}
    for step, (opcode, value, _) in enumerate(pickletools.genops(data)):
        name = opcode.name
        if step > MOST_STEPS:
            raise pickle.UnpicklingError("its pickle has too many steps")
        if isinstance(value, int) and abs(value) >= LARGEST_NUMBER:
            raise pickle.UnpicklingError("its pickle holds a number of more than 64 bits")
        if name.startswith("EXT"):
            raise pickle.UnpicklingError(f"its pickle uses an extension code, {name} {value}")
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            index = len(memo) if name == "MEMOIZE" else value
            if index > len(memo):  # the C unpickler would allocate up to this index
                raise pickle.UnpicklingError("its pickle skips memo entries")
            memo[index] = stack[-1]
            continue
        taken = _take(stack, opcode.stack_before)
        if name in ("GLOBAL", "INST"):
            names[_path(*value.split(" ", 1))] = None
        elif name == "STACK_GLOBAL":
            if not all(isinstance(entry[0], str) for entry in taken):
                raise pickle.UnpicklingError("its pickle computes a name")
            names[_path(*(entry[0] for entry in taken))] = None
        if name in ("GET", "BINGET", "LONG_BINGET"):
            result = memo[value]
        elif name == "DUP":
            result = taken[0]
        else:
            depth, size = 0, 1
            if name.startswith("TUPLE"):
                depth += 1 + max((entry[1] for entry in taken), default=0)
                size += sum(entry[2] for entry in taken)
            if depth > DEEPEST_TUPLE or size > HEAVIEST_TUPLE:
                raise pickle.UnpicklingError("its pickle nests tuples without end")
            result = MARK if name == "MARK" else (value if name in STRINGS else None, depth, size)
        stack += [result] * len(opcode.stack_after)
    return list(names)


def _take(stack: list, before: list) -> list[tuple]:
    """Remove from the stack what an opcode consumes, everything above the newest mark included where it does."""
    taken = []
    if pickletools.markobject in before:
        while (entry := stack.pop()) is not MARK:
            taken.append(entry)
        before = before[: before.index(pickletools.markobject)]
    taken += [stack.pop() for _ in before]
    return taken[::-1]


def refuse_unknown(names: list[str]) -> None:
    """Raise `UnknownName` with every name that is neither rebuilt nor an inert record."""
    unknown = [name for name in names if name not in REBUILT and not RECORDS.fullmatch(name)]
    if unknown:
        raise UnknownName(*unknown)


class Reader(pickle.Unpickler):
    """The machine that follows the pickle; `find_class` is the only way from a name to an object.

    `read_storage(key, dtype, numel)` gives the flat tensor of one storage; it is called when a tensor is loaded.
    """

    def __init__(self, data: bytes, read_storage: Callable[[str, torch.dtype, int], torch.Tensor]):
        super().__init__(io.BytesIO(data))
        self.read_storage = read_storage
        self.records: dict[str, type[Record]] = {}

    def find_class(self, module: str, name: str) -> object:
        """What a name in the pickle becomes: a known rebuilder, or a plain record; nothing is imported."""
        path = _path(module, name)
        refuse_unknown([path])
        if path in REBUILT:
            return REBUILT[path]
        return self.records.setdefault(path, type("Record", (Record,), {"path": path, "__slots__": ()}))

    def persistent_load(self, pid: object) -> _Storage:
        """The storage that a tensor in the pickle points to."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise pickle.UnpicklingError("a persistent id that is no tensor storage")
        _, kind, key, _, numel = pid
        if not (isinstance(kind, _Function) and kind.dtype and isinstance(key, str) and type(numel) is int):
            raise pickle.UnpicklingError("a tensor storage that is not described as PyTorch describes it")
        return _Storage(self.read_storage, key, kind.dtype, numel)
