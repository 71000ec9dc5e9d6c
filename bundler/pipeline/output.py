"""Where a build goes: beside its source or where the user says, and never over something by accident."""

from collections.abc import Iterable
from pathlib import Path

from sharkpack.bundler.options import BuildOptions
from sharkpack.bundler.sources.fetch import is_remote, remote_name
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.gguf_part_names import whole_name


def output_file(options: BuildOptions) -> Path:
    """The path that a build writes. Raises SharkpackError where it cannot, or must not."""
    output = options.output or default_output(options.source)
    check_output(output, options.source, force=options.force)
    return output


def check_output(output: Path, source: str, *, force: bool) -> None:
    """Raise SharkpackError unless `output` can be written: never over its `source`, over another file by `force`."""
    if output.is_dir():
        raise SharkpackError(f"output {output} is a directory; give the name of a file with -o")
    if output.exists() and not output.is_file():
        raise SharkpackError(f"output {output} is a device or a pipe; give the name of a file with -o")
    if not output.parent.is_dir():
        raise SharkpackError(f"folder {output.parent} does not exist; make it first, or choose another with -o")
    if output.exists() and Path(source).exists() and output.samefile(source):
        raise SharkpackError(f"output {output} is the source itself; choose another name with -o")
    if output.exists() and not force:
        raise SharkpackError(f"output {output} exists; choose another name with -o, or replace it with --force")


def check_not_source(output: Path, files: Iterable[Path]) -> None:
    """Raise SharkpackError if `output` is one of the `files` of its source, now that these are known."""
    if output.exists() and any(file.exists() and output.samefile(file) for file in files):
        raise SharkpackError(f"output {output} is a file of the source; choose another name with -o")


def default_output(argument: str) -> Path:
    """model.shark for model.gguf, for its parts and for the folder model; a fetched model's is here, under its name."""
    if is_remote(argument):
        return Path(f"{remote_name(argument)}.shark")
    source = Path(argument)
    if not source.is_dir():
        return source.with_name(whole_name(source.name)).with_suffix(".shark")
    folder = source.resolve() if source.name in ("", "..") else source
    return folder.with_name(f"{folder.name}.shark")
