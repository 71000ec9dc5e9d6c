"""Rules for detached signatures in an archive: place, order, names, sizes. Not what is in them, or whom to trust."""

from collections.abc import Sequence

from sharkpack.formats.archive.manifest_parts import SIGNATURES
from sharkpack.formats.archive.member_path import check_member_path
from sharkpack.formats.errors import SharkpackError

MAX_SIGNATURES = 16
MAX_SIGNATURE_BYTES = 64 << 10


def check_signatures(sizes: Sequence[tuple[str, int]]) -> None:
    """Raise SharkpackError unless members of these paths and sizes in bytes may follow a manifest, in this order."""
    if len(sizes) > MAX_SIGNATURES:
        raise SharkpackError(f"{len(sizes)} signatures; at most {MAX_SIGNATURES} are allowed")
    for path, size in sizes:
        name = path.removeprefix(SIGNATURES)
        check_member_path(path)
        if name == path or "/" in name or name.endswith(".zst"):
            raise SharkpackError(f"member {path!r} follows the manifest and is no signature: '{SIGNATURES}NAME'")
        if not 1 <= size <= MAX_SIGNATURE_BYTES:
            raise SharkpackError(f"signature {path!r} has {size} bytes; expected 1 to {MAX_SIGNATURE_BYTES}")
    paths = [path for path, _ in sizes]
    if paths != sorted(paths):
        raise SharkpackError(f"signatures are not in the order of their names: {', '.join(paths)}")
