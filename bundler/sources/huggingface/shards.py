"""The weight files of a checkpoint's folder: which there are, and which tensor lies in which. Never reads a pickle."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sharkpack.bundler.sources.json_file import read_json
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.file_kind import NO_SUCH_FILE, explain_missing
from sharkpack.formats.model_files.safetensors_file import SafetensorsFile

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """The open files, in the order of their names; `places` says which of them holds a tensor."""

    files: tuple[SafetensorsFile, ...]
    places: Mapping[str, SafetensorsFile]

    def close(self) -> None:
        for file in self.files:
            file.close()


def open_shards(folder: Path) -> Shards:
    """Open the weights in `folder`. Raises SharkpackError when there are none that can be read, when a file is broken,
    and when the index and the files disagree."""
    if (folder / SINGLE).is_file():
        return _together({SINGLE: SafetensorsFile.open(folder / SINGLE)})
    if not (folder / INDEX).is_file():
        raise SharkpackError(_no_weights(folder))
    listed = _read_index(folder / INDEX)
    files: dict[str, SafetensorsFile] = {}
    try:
        for name in sorted(set(listed.values())):
            if not (folder / name).is_file():
                raise SharkpackError(_missing_shard(folder / name))
            files[name] = SafetensorsFile.open(folder / name)
        shards = _together(files)
        _check_index(folder / INDEX, listed, files)
    except BaseException:
        for file in files.values():
            file.close()
        raise
    return shards


def _together(files: Mapping[str, SafetensorsFile]) -> Shards:
    places: dict[str, SafetensorsFile] = {}
    for file in files.values():
        for name in file.tensors:
            if name in places:
                raise SharkpackError(f"tensor '{name}' is in {places[name].path.name} and in {file.path.name} too")
            places[name] = file
    return Shards(files=tuple(files.values()), places=places)


def _read_index(path: Path) -> dict[str, str]:
    """Tensor -> name of its file, each a plain name: nothing outside the folder is opened."""
    listed = read_json(path).child("weight_map").texts_by_key()
    for tensor, name in listed.items():
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise SharkpackError(
                f"{path}: tensor '{tensor}' is said to be in {name!r}; expected a .safetensors file beside the index"
            )
    return listed


def _check_index(path: Path, listed: Mapping[str, str], files: Mapping[str, SafetensorsFile]) -> None:
    for tensor, name in listed.items():
        if tensor not in files[name].tensors:
            raise SharkpackError(f"{path}: tensor '{tensor}' is not in {name}, where the index says it is")
    for file in files.values():
        rest = next((tensor for tensor in file.tensors if tensor not in listed), None)
        if rest is not None:
            raise SharkpackError(f"{path}: tensor '{rest}' of {file.path.name} is not in the index")


def _missing_shard(path: Path) -> str:
    found = explain_missing(path)
    what = f"{path} is missing" if found == NO_SUCH_FILE else f"{path}: {found}"
    return f"{what}, and {INDEX} lists it; download the checkpoint again"


def _no_weights(folder: Path) -> str:
    parts = sorted(path.name for path in folder.glob("*.safetensors"))
    if parts:
        return f"{folder}: has {parts[0]}, but neither {SINGLE} nor {INDEX}; download the checkpoint again"
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles:
        return (
            f"{folder}: its weights are a pickle ({pickles[0]}), which can run any code when it is read and is never "
            "read here; convert it: AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)"
        )
    found = explain_missing(folder / SINGLE)
    if found != NO_SUCH_FILE:
        return f"{folder / SINGLE}: {found}"
    return f"{folder}: no {SINGLE} and no {INDEX}; a checkpoint has one of them"
