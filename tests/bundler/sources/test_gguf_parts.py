"""A model cut into parts is the model that it was; parts that are missing or of another are named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sharkpack.bundler.convert.gguf_metadata import gguf_metadata
from sharkpack.bundler.pipeline.output import default_output
from sharkpack.bundler.sources import open_source
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.gguf import GGUFFile
from sharkpack.formats.model_files.gguf_writer import TensorSpec, encode_value, plan_gguf
from sharkpack.formats.model_files.tensor_file import write_tensors
from tests.tiny_models import write_tiny_gguf

COUNT = 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("whole") / "tiny.gguf")


@pytest.fixture
def first(whole: Path, tmp_path: Path) -> Path:
    """The first of the parts into which the model is cut, as llama-gguf-split does it: all metadata are its own."""
    with GGUFFile.open(whole) as file:
        names = list(file.tensors)
        for number in range(COUNT):
            part = {"split.no": number, "split.count": COUNT, "split.tensors.count": len(names)}
            values = {key: file.encoded(key) for key in file.metadata} if number == 0 else {}
            values |= {key: encode_value(value) for key, value in part.items()}
            tensors = [file.tensors[name] for name in names[number::COUNT]]
            specs = [TensorSpec(name=each.name, shape=each.shape, type_name=each.type_name) for each in tensors]
            with _part(tmp_path, number).open("wb") as out:
                pieces = ((each.name, file.raw(each.name)) for each in tensors)
                write_tensors(plan_gguf(values, specs), out, pieces)
    return _part(tmp_path, 0)


def _part(folder: Path, number: int) -> Path:
    return folder / f"tiny-{number + 1:05}-of-{COUNT:05}.gguf"


def test_the_parts_are_the_whole(whole: Path, first: Path) -> None:
    with open_source(str(whole)) as expected, open_source(str(first)) as found:
        assert set(found.tensors) == set(expected.tensors)
        for name, tensor in expected.tensors.items():
            np.testing.assert_array_equal(found.tensor(name).read(), tensor.read())
        assert [path.name for path in found.files] == [_part(first.parent, number).name for number in range(COUNT)]
        assert found.size == sum(path.stat().st_size for path in found.files)
        assert gguf_metadata(found) == gguf_metadata(expected)
        assert found.sha256() != expected.sha256()
    assert default_output(str(first)) == first.with_name("tiny.shark")


def _remove(folder: Path) -> None:
    _part(folder, 2).unlink()


def _put_another_in_its_place(folder: Path) -> None:
    _part(folder, 2).write_bytes(_part(folder, 1).read_bytes())


def _leave_out_tensors(folder: Path) -> None:
    values = {"split.no": encode_value(2), "split.count": encode_value(COUNT)}
    _part(folder, 2).write_bytes(plan_gguf(values, []).header)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_remove, "tiny-00003-of-00003.gguf: no such file; it is part 3 of 3 that make the model"),
        (_put_another_in_its_place, "tiny-00003-of-00003.gguf: says that it is part 2 of 3; expected part 3 of 3"),
        (_leave_out_tensors, "one of them is of another model; get them again"),
    ],
)
def test_parts_that_do_not_make_a_model(first: Path, change: Callable[[Path], None], message: str) -> None:
    change(first.parent)
    with pytest.raises(SharkpackError, match=message):
        open_source(str(first))


def test_a_part_that_is_not_the_first(first: Path) -> None:
    with pytest.raises(SharkpackError, match=r"part 2 of 3; name the first, tiny-00001-of-00003.gguf"):
        open_source(str(_part(first.parent, 1)))
