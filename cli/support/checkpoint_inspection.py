"""The inspection of a checkpoint's folder: its config.json, and the tensors of all of its weight files."""

import json
from pathlib import Path

from sharkpack.bundler.sources.huggingface.shards import open_shards
from sharkpack.bundler.sources.json_file import read_json
from sharkpack.cli.support.inspection import Inspection, TableRows, TensorRow, in_words, tensor_details, types_table

CONFIG = "config.json"


def inspect_checkpoint(path: Path) -> Inspection:
    """A folder with config.json and safetensors files, one or several. Raises SharkpackError where it is not whole."""
    config = dict(read_json(path / CONFIG).values())
    shards = open_shards(path)
    try:
        tensors = tuple(
            TensorRow(
                name=name,
                offset=file.tensors[name].offset,
                nbytes=file.tensors[name].nbytes,
                type=file.tensors[name].dtype,
                shape=file.tensors[name].shape,
                file=file.path.name,
            )
            for file in shards.files
            for name in file.tensors
        )
        files = {file.path.name: file.size for file in shards.files}
    finally:
        shards.close()
    rows = [(key, value if isinstance(value, str) else in_words(json.dumps(value))) for key, value in config.items()]
    return Inspection(
        kind="checkpoint",
        size=sum(files.values()),
        details=tensor_details(tensors) | {"config": config, "files": files},
        tables=(TableRows(headings=(CONFIG, "value"), rows=rows), types_table(tensors)),
        tensors=tensors,
    )
