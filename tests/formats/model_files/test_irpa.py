import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import iree.runtime as rt
import numpy as np
import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.irpa import TENSOR_ALIGNMENT, plan_irpa, read_irpa_index, read_irpa_notes
from sharkpack.formats.model_files.tensor_file import write_tensors
from sharkpack.formats.model_files.tensor_note import read_note, write_note

TENSORS = {"a.weight": b"\1" * 100, "b": b"\2" * 64, "blk.0.ünïcode": b"\3"}
TABLE, STRIDE = 96, 80  # where the entry table starts, and how far apart its entries are


def written(tensors: dict[str, bytes] = TENSORS, alignment: int = TENSOR_ALIGNMENT) -> bytes:
    plan = plan_irpa([(name, len(data)) for name, data in tensors.items()], alignment)
    out = BytesIO()
    write_tensors(plan, out, tensors.items())
    assert len(out.getvalue()) == plan.total_size
    return out.getvalue()


def patched(offset: int, fmt: str, *values: int) -> memoryview:
    data = bytearray(written())
    struct.pack_into("<" + fmt, data, offset, *values)
    return memoryview(bytes(data))


@pytest.mark.parametrize("alignment", [64, 4096])
def test_what_is_written_is_read_back_in_place(alignment: int) -> None:
    data = written(alignment=alignment)
    index = read_irpa_index(memoryview(data))
    assert {name: data[offset : offset + size] for name, (offset, size) in index.items()} == TENSORS
    assert all(offset % alignment == 0 for offset, _ in index.values())


def test_plan_foretells_the_offsets() -> None:
    plan = plan_irpa([(name, len(data)) for name, data in TENSORS.items()])
    index = read_irpa_index(memoryview(written()))
    assert {entry.name: (entry.offset, entry.nbytes) for entry in plan.entries} == index
    assert written().startswith(plan.header)


def test_numpy_arrays_of_any_type_are_written() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    plan = plan_irpa([("x", array.nbytes)])
    out = BytesIO()
    write_tensors(plan, out, [("x", array)])
    assert out.getvalue()[len(plan.header) :] == array.tobytes()


def test_an_empty_parameter_file_is_readable() -> None:
    assert read_irpa_index(memoryview(written({}))) == {}


def test_iree_dump_parameters_agrees(tmp_path: Path) -> None:
    path = tmp_path / "model.irpa"
    path.write_bytes(written())
    tool = Path(sys.executable).with_name("iree-dump-parameters")
    dump = subprocess.run([tool, f"--parameters={path}"], capture_output=True, text=True, check=True).stdout
    index = read_irpa_index(memoryview(written()))
    lines = [line.replace("|", " ").split() for line in dump.splitlines()]
    for name, (offset, size) in index.items():
        assert [str(offset), str(offset + size), str(size), f"`{name}`"] in lines


def test_iree_runtime_agrees(tmp_path: Path) -> None:
    path = tmp_path / "model.irpa"
    path.write_bytes(written())
    index = rt.ParameterIndex()
    index.load(str(path))
    assert {name: bytes(entry.file_view) for name, entry in index.items()} == TENSORS


def test_what_iree_writes_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "stock.irpa"
    stock = rt.ParameterIndex()
    for name, data in TENSORS.items():
        stock.add_buffer(name, data)
    stock.create_archive_file(str(path))
    data = path.read_bytes()
    index = read_irpa_index(memoryview(data))
    assert {name: data[offset : offset + size] for name, (offset, size) in index.items()} == TENSORS


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("a", 1), ("a", 2)], "two tensors are named 'a'"),
        ([("", 1)], "tensor '' of 1 bytes; a parameter file holds named, non-empty tensors"),
        ([("a", 0)], "tensor 'a' of 0 bytes; a parameter file holds named, non-empty tensors"),
    ],
)
def test_plans_that_cannot_be(entries: list[tuple[str, int]], message: str) -> None:
    with pytest.raises(SharkpackError, match=message):
        plan_irpa(entries)


@pytest.mark.parametrize("alignment", [0, 32, 96])
def test_alignments_that_the_runtime_would_copy_for(alignment: int) -> None:
    with pytest.raises(SharkpackError, match="use a power of two of at least 64"):
        plan_irpa([], alignment)


def test_a_tensor_may_come_in_pieces() -> None:
    plan = plan_irpa([("a", 5), ("b", 3)])
    whole, pieces = BytesIO(), BytesIO()
    write_tensors(plan, whole, [("a", b"12345"), ("b", b"678")])
    write_tensors(plan, pieces, [("a", b"12"), ("a", b""), ("a", b"345"), ("b", b"6"), ("b", b"78")])
    assert pieces.getvalue() == whole.getvalue()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([("a", b"12")], "tensor 'b' of 3 bytes was planned, got nothing"),
        ([("b", b"123")], "tensor 'a' of 2 bytes was planned, got 'b' of 3 bytes"),
        ([("a", b"123")], "tensor 'a' of 2 bytes was planned, got 'a' of 3 bytes"),
        ([("a", b"12"), ("b", b"123"), ("c", b"1")], "tensor 'c' was not planned"),
        ([("a", b"1"), ("b", b"123")], "tensor 'a' of 2 bytes was planned, got 'a' of 1 bytes"),
        ([("a", b"1"), ("a", b"23")], "tensor 'a' of 2 bytes was planned, got 'a' of 3 bytes"),
    ],
)
def test_tensors_other_than_planned(tensors: list[tuple[str, bytes]], message: str) -> None:
    with pytest.raises(SharkpackError, match=message):
        write_tensors(plan_irpa([("a", 2), ("b", 3)]), BytesIO(), tensors)


@pytest.mark.parametrize(
    ("offset", "fmt", "values", "message"),
    [
        (0, "I", (1,), "starts with b'.*', not b'IRPA'"),
        (4, "H", (1,), "version 1.0; this sharkpack reads 0.0"),
        (6, "H", (1,), "version 0.1; this sharkpack reads 0.0"),
        (8, "Q", (96,), "version 0.0"),
        (16, "Q", (4096,), "linked archives and flags"),
        (24, "Q", (1,), "linked archives and flags"),
        (32, "Q", (4,), "4 tensors do not fit a table of 240 bytes"),
        (32, "Q", (2**64 - 1,), "tensors do not fit a table"),
        (40, "Q", (2**63,), "entry table .* is out of place or cut short"),
        (40, "Q", (0,), "entry table .* is out of place"),
        (56, "Q", (100,), "names .* is out of place"),
        (64, "Q", (2**40,), "names .* is out of place or cut short"),
        (80, "Q", (2**64 - 1,), "storage .* is out of place or cut short"),
        (TABLE, "Q", (60,), "entry 0 is a type 2 entry of 60 bytes"),
        (TABLE + 8, "I", (0,), "entry 0 is a SKIP entry"),
        (TABLE + 8, "I", (1,), "entry 0 is a SPLAT entry"),
        (TABLE + 8, "I", (3,), "entry 0 is an EXTERNAL entry"),
        (TABLE + 8, "I", (9,), "entry 0 is a type 9 entry"),
        (TABLE + 20, "QQ", (0, 0), "the name of entry 0 is empty or out of bounds"),
        (TABLE + 20, "QQ", (2**63, 8), "the name of entry 0 is empty or out of bounds"),
        (TABLE + STRIDE + 20, "QQ", (0, 8), "two tensors are named 'a.weight'"),
        (TABLE + 20, "QQ", (16, 1), "the name of entry 0 is not UTF-8"),
        (TABLE + 60, "QQ", (0, 2**40), "tensor 'a.weight' .* is outside its storage"),
        (TABLE + 60, "QQ", (2**63, 2**63), "tensor 'a.weight' .* is outside its storage"),
        (TABLE + 60, "QQ", (0, 0), "tensor 'a.weight' .* is outside its storage"),
        (TABLE + 60, "QQ", (32, 8), "tensor 'a.weight' is not at a multiple of 64 bytes"),
        (TABLE + STRIDE + 60, "QQ", (64, 64), "tensors 'a.weight' and 'b' overlap"),
    ],
)
def test_attacks(offset: int, fmt: str, values: tuple[int, ...], message: str) -> None:
    with pytest.raises(SharkpackError, match=message):
        read_irpa_index(patched(offset, fmt, *values))


def test_every_truncation_is_refused() -> None:
    data = written()
    for size in range(len(data)):
        with pytest.raises(SharkpackError, match="parameter file"):
            read_irpa_index(memoryview(data)[:size])


def test_no_flipped_byte_of_the_header_raises_anything_else() -> None:
    data = written()
    header = len(plan_irpa([(name, len(tensor)) for name, tensor in TENSORS.items()]).header)
    for position in range(header):
        broken = bytearray(data)
        broken[position] ^= 0xFF
        try:
            index = read_irpa_index(memoryview(bytes(broken)))
        except SharkpackError:
            continue
        assert all(0 < offset <= offset + size <= len(data) for offset, size in index.values())


def test_notes() -> None:
    """They stand behind the names, and change nothing else."""
    entries = [("a", 4), ("b", 3)]
    plain, noted = plan_irpa(entries), plan_irpa(entries, notes={"b": b"f32 3", "unknown": b"ignored"})
    assert [(entry.name, entry.nbytes) for entry in noted.entries] == entries
    assert noted.header.replace(b"abf32 3", b"ab") != plain.header  # the sizes of segments differ
    out = BytesIO()
    write_tensors(noted, out, [("a", b"1234"), ("b", b"567")])
    view = memoryview(out.getvalue())
    assert read_irpa_notes(view) == {"a": b"", "b": b"f32 3"}
    assert {name: view[at : at + size].tobytes() for name, (at, size) in read_irpa_index(view).items()} == {
        "a": b"1234",
        "b": b"567",
    }


def test_a_note_out_of_bounds() -> None:
    out = BytesIO()
    write_tensors(plan_irpa([("a", 4)], notes={"a": b"f32 1"}), out, [("a", b"1234")])
    file = bytearray(out.getvalue())
    file[96 + 44 : 96 + 52] = (1 << 40).to_bytes(8, "little")  # the length of the first entry's note
    with pytest.raises(SharkpackError, match="the metadata of entry 0 is out of bounds"):
        read_irpa_index(memoryview(file))


def test_the_text_of_a_note() -> None:
    assert write_note("q4_k", (896, 4864)) == b"q4_k 896x4864"
    assert read_note(b"q4_k 896x4864") == ("q4_k", (896, 4864))
    assert read_note(b"f32 64") == ("f32", (64,))
    assert [read_note(other) for other in (b"", b"f32", b"f32 ", b"f32 4x", b"F32 4", b"\xff 4")] == [None] * 6
