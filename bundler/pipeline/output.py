"""The output of a verb: beside its source or where the user says, and never over something by accident."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sharkpack.bundler.sources.fetch import is_remote, remote_name
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.output_file import check_output
from sharkpack.formats.model_files.gguf_part_names import whole_name


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPath:
    """The file to write. overwrite: whether it may replace one that is there; never one of the source's."""

    path: Path
    overwrite: bool

    def check(self, source: str) -> None:
        """Raise SharkpackError unless the file can be written, `source` being what the user named as the model."""
        if self.path.exists() and Path(source).exists() and self.path.is_file() and self.path.samefile(source):
            raise SharkpackError(f"output {self.path} is the source itself; choose another name with -o")
        check_output(self.path, overwrite=self.overwrite)

    def check_not_in(self, files: Iterable[Path]) -> None:
        """Raise SharkpackError if it is one of the `files` of its source, now that these are known."""
        if self.path.exists() and any(file.exists() and self.path.samefile(file) for file in files):
            raise SharkpackError(f"output {self.path} is a file of the source; choose another name with -o")


def default_output(source: str) -> Path:
    """model.shark for model.gguf, for its parts and for the folder model; a fetched model's is here, under its name."""
    if is_remote(source):
        return Path(f"{remote_name(source)}.shark")
    path = Path(source)
    if not path.is_dir():
        return path.with_name(whole_name(path.name)).with_suffix(".shark")
    folder = path.resolve() if path.name in ("", "..") else path
    return folder.with_name(f"{folder.name}.shark")
