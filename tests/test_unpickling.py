"""Hostile files: each is refused with a sentence that names the reason, and the canary shows that nothing ran."""

from __future__ import annotations

import copyreg
import functools
import io
import operator
import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from official_format import archive_of, globals_of, official_modules, write_official

from yolo_ft.core.errors import UserError
from yolo_ft.finetune.checkpoints import load_checkpoint
from yolo_ft.finetune.unpickling import REBUILT, Reader, Record, UnknownName, list_globals
from yolo_ft.models import build_model


class Call:
    """Pickles as the call of `function`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


class MySet(set):
    """A set subclass: its pickle calls this class."""


@pytest.fixture(scope="module")
def nano():
    return build_model("yolov5n", 1)


@pytest.fixture
def canary(tmp_path):
    """A file that the hostile pickles try to make."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "something inside the file was run"


def refused(path: Path, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        load_checkpoint(path)


def text(value: str) -> bytes:
    data = value.encode()
    return pickle.SHORT_BINUNICODE + bytes([len(data)]) + data


def stack_global(module: str, name: str) -> bytes:
    return b"\x80\x04" + text(module) + text(name) + pickle.STACK_GLOBAL


CALLS = [
    (lambda p: Call(os.system, f"touch {p}"), rf"'{os.system.__module__}\.system'"),
    (lambda p: Call(eval, f"open({str(p)!r}, 'w')"), r"'(builtins|__builtin__)\.eval'"),
    (lambda p: Call(exec, f"open({str(p)!r}, 'w')"), r"'(builtins|__builtin__)\.exec'"),
    (lambda p: Call(open, str(p), "w"), r"'_?io\.open'"),
    (lambda p: Call(getattr, "", "join"), r"'(builtins|__builtin__)\.getattr'"),
    (lambda p: Call(functools.partial, print), r"'functools\.partial'"),
    (lambda p: Call(operator.attrgetter, "a.b"), r"'operator\.attrgetter'"),
    (lambda p: Call(types.SimpleNamespace), r"'types\.SimpleNamespace'"),
    (lambda p: Call(torch.load, str(p)), r"'torch\.serialization\.load'"),
    (lambda p: Call(torch.hub.load, "a/b", "c"), r"'torch\.hub\.load'"),
    (lambda p: Call(torch._utils._rebuild_wrapper_subclass, None), r"'torch\._utils\._rebuild_wrapper_subclass'"),
    (lambda p: Call(np.fromfile, str(p)), "'numpy.*fromfile'"),
    (lambda p: MySet([1]), r"'test_unpickling\.MySet'"),
    (lambda p: torch.nn.Linear(1, 1).register_forward_hook, r"'(builtins|__builtin__)\.getattr'"),
]


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(("make", "sentence"), CALLS)
def test_calls_are_refused_by_name(tmp_path, canary, protocol, make, sentence):
    data = pickle.dumps({"model": make(canary)}, protocol)
    refused(archive_of(tmp_path / "x.pt", data), rf"refers to .*{sentence}.*nothing in it was run")
    with pytest.raises(UnknownName):  # the gate itself, without the list that comes first
        Reader(data, None).load()


def test_a_call_hidden_in_a_whole_official_file_is_refused(tmp_path, canary, nano):
    def hide(content: dict) -> None:
        content["optimizer"] = {"state": [Call(os.system, f"touch {canary}")]}

    refused(write_official(tmp_path / "x.pt", nano, change=hide), r"refers to '(posix|nt)\.system'")


def test_attributes_set_by_build_are_data(tmp_path, canary, nano):
    """`__setstate__` and friends as attributes of a record are never called; functions among them are refused."""

    def hide(content: dict) -> None:
        content["model"].__dict__ |= {"__setstate__": "x", "forward": "y", "__class__x": content["model"].names}

    assert load_checkpoint(write_official(tmp_path / "x.pt", nano, change=hide)).names == {0: "class0"}

    def hide_call(content: dict) -> None:
        content["model"].__dict__["__setstate__"] = Call(eval, f"open({str(canary)!r}, 'w')")

    refused(write_official(tmp_path / "y.pt", nano, change=hide_call), r"eval'")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("models.x", "a.__class__"),
        ("models.x", "__class__"),
        ("models.x", "Model.__init__.__globals__"),
        ("torch.nn.modules.container", "OrderedDict.fromkeys"),
        ("torch.nn.modules", "module.torch.hub.__call__"),
        ("models.__init__", "Model"),
        ("models", "os; import sys"),
        ("models/../os", "system"),
        ("modelsx", "Model"),
        ("ultralytics_x", "Model"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy", "load"),
        ("pathlib", "os.system"),
        ("pathlib", "Path.touch"),
        ("collections", "Counter"),
        ("torch", "storage.UntypedStorage"),
        ("models.x", "Modèl"),
    ],
)
def test_names_that_reach_through_attributes_are_refused(tmp_path, module, name):
    for data in (stack_global(module, name) + b".", f"c{module}\n{name}\n.".encode()):
        with pytest.raises(UnknownName):
            Reader(data, None).load()
        refused(archive_of(tmp_path / "x.pt", data), "refers to" if name.isascii() else "refers to|damaged")


def test_numpy_reconstruct_is_a_record_and_its_arguments_are_checked(tmp_path, canary):
    evil = Call(np.array([1.0]).__reduce__()[0], os.system, (0,), b"b")
    refused(archive_of(tmp_path / "x.pt", pickle.dumps(evil, 2)), r"refers to '(posix|nt)\.system'")
    record = Reader(pickle.dumps(np.float64(0.25), 2), None).load()
    assert isinstance(record, Record) and record.path.endswith("multiarray.scalar")
    assert all(isinstance(argument, Record) for argument in record.args)


def test_extension_codes_are_refused_even_when_the_registry_knows_them(tmp_path, canary):
    copyreg.add_extension(os.system.__module__, "system", 240)
    try:
        data = pickle.dumps(Call(os.system, f"touch {canary}"), 2)
        assert pickle.EXT1 in data
        refused(archive_of(tmp_path / "x.pt", data), "extension code, EXT1 240")
    finally:
        copyreg.remove_extension(os.system.__module__, "system", 240)
        copyreg.clear_extension_cache()


def test_names_put_together_on_the_stack_are_followed(tmp_path, canary):
    refused(archive_of(tmp_path / "x.pt", b"\x80\x04NN" + pickle.STACK_GLOBAL + b")R."), "computes a name")
    decoys = text("models.yolo") + text("Model")
    hidden = text("posix") + text("system") + decoys + b"00" + pickle.STACK_GLOBAL
    through_memo = text("posix") + b"\x94" + text("system") + b"\x94(" + decoys + b"1h\x00h\x01" + pickle.STACK_GLOBAL
    doubled = text("models") + b"2" + pickle.STACK_GLOBAL
    command = text(f"touch {canary.name}") + b"\x85R."
    for data in (hidden, through_memo):
        assert list_globals(b"\x80\x04" + data + command) == ["posix.system"]
        refused(archive_of(tmp_path / "x.pt", b"\x80\x04" + data + command), r"'posix\.system'")
    assert list_globals(b"\x80\x04" + doubled + b".") == ["models.models"]


@pytest.mark.parametrize(
    "pid", ["storage", ("module", "os", "system"), ("storage", "FloatStorage", "0", "cpu", 4), (1,)]
)
def test_persistent_ids_that_are_no_storage_are_refused(tmp_path, pid):
    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return pid if isinstance(value, complex) else None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump({"model": 1j})
    refused(archive_of(tmp_path / "x.pt", buffer.getvalue()), "truncated or damaged .*(persistent id|storage)")


@pytest.mark.parametrize("name", sorted(REBUILT))
def test_what_is_rebuilt_can_be_neither_altered_nor_extended(name):
    module, _, attribute = name.rpartition(".")
    reach = f"c{module}\n{attribute}\n".encode()
    before = REBUILT[name].call, REBUILT[name].dtype
    state = pickle.dumps((None, {"call": "x", "dtype": "y"}), 2)[2:-1]
    for data in (reach + state + b"b.", reach + b"}b.", reach + b")\x81."):
        with pytest.raises((pickle.UnpicklingError, TypeError)):
            Reader(data, None).load()
    assert (REBUILT[name].call, REBUILT[name].dtype) == before


@pytest.mark.parametrize(
    "data",
    [
        b"cmodels.yolo\nModel\n}b.",  # BUILD on a class
        b"ctorch\nHalfStorage\n)R.",  # a storage type called
        b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00))t\x52.",  # a tensor of no storage
        b"ctorch._utils\n_rebuild_parameter\nK\x01\x85R.",
        b"\x80\x02}r\xff\xff\xff\x7f.",  # a memo entry that would take 16 GiB
        b"\x80\x02})" + b"\x85" * 10**5 + b"K\x01s.",  # hashing this key would overflow the C stack
        b"\x80\x02}K\x01\x85q\x00" + b"".join(b"h%c\x86q%c" % (i, i + 1) for i in range(60)) + b"K\x01s.",
        b"\x80\x02}\x8a\x09" + b"\xff" * 8 + b"\x7fK\x01s.",  # numbers of one's choice make keys collide
        b"\x80\x04" + b"N0" * 600_000 + b"N.",  # steps without end
        b"\x80\x02}",
        b"}X\xff\xff\xff\xff.",
        b"nonsense",
        b"",
    ],
)
def test_malformed_pickles_are_damaged_files(tmp_path, data):
    refused(archive_of(tmp_path / "x.pt", data), "truncated or damaged")


def test_a_module_tree_without_end_is_refused(tmp_path, nano):
    def loop(content: dict) -> None:
        content["model"]._modules["again"] = content["model"]

    refused(write_official(tmp_path / "x.pt", nano, change=loop), "without end")


def test_pytorch_reads_the_same_tensors_when_stand_ins_are_allowed(tmp_path, nano):
    """PyTorch's own safe reader as the oracle."""
    path = write_official(tmp_path / "x.pt", nano)
    ours = load_checkpoint(path).state_dict
    known = [name for name in globals_of(path) if name.startswith(("models.", "torch.nn.", "pathlib."))]

    class StandIn:
        def __init__(self, *_):
            pass

    with torch.serialization.safe_globals([(type("StandIn", (StandIn,), {}), name) for name in known]):
        layers = torch.load(path, weights_only=True)["model"]._modules["model"]._modules
    theirs = layers["24"]._modules["m"]._modules["1"]._parameters
    assert torch.equal(ours["model.24.m.1.weight"], theirs["weight"].float())
    assert torch.equal(ours["model.24.anchors"], layers["24"]._buffers["anchors"].float())
    kernel = layers["4"]._modules["m"]._modules["1"]._modules["cv2"]._modules["conv"]._parameters["weight"]
    assert torch.equal(ours["model.4.m.1.cv2.conv.weight"], kernel.float())


def test_globals_are_listed_in_order_without_loading():
    with official_modules("yolov5") as classes:
        data = pickle.dumps([classes["Model"], Call(os.getcwd), {"posix": "system"}], 4)
    assert list_globals(data) == ["models.yolo.Model", f"{os.getcwd.__module__}.getcwd"]
    assert list_globals(pickle.dumps({}, 2)) == []
    assert "models" not in sys.modules
