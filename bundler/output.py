"""Where a build goes: beside its source or where the user says, and never over something by accident."""

from pathlib import Path

from sharkpack.bundler.options import BuildOptions
from sharkpack.formats.errors import SharkpackError


def output_file(options: BuildOptions) -> Path:
    """The path that a build writes. Raises SharkpackError where it cannot, or must not."""
    output = options.output or _beside(Path(options.source))
    if output.is_dir():
        raise SharkpackError(f"output {output} is a directory; give the name of a file with -o")
    if not output.parent.is_dir():
        raise SharkpackError(f"folder {output.parent} does not exist; make it first, or choose another with -o")
    if output.exists() and output.samefile(options.source):
        raise SharkpackError(f"output {output} is the source itself; choose another name with -o")
    if output.exists() and not options.force:
        raise SharkpackError(f"output {output} exists; choose another name with -o, or replace it with --force")
    return output


def _beside(source: Path) -> Path:
    """model.shark for model.gguf, and for the folder model: dots in a folder's name begin no suffix."""
    folder = source.resolve() if source.name in ("", "..") else source
    return folder.with_name(f"{folder.name}.shark") if source.is_dir() else source.with_suffix(".shark")
