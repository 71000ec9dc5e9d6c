"""The archive: one file of strict ZIP64 records; `ArchiveWriter` writes it, `Archive` maps it. See docs/format.md."""

from sharkpack.formats.archive_reader import Archive
from sharkpack.formats.archive_writer import ArchiveWriter, MemberWriter
from sharkpack.formats.manifest import Member
from sharkpack.formats.zip_records import DATA_ALIGNMENT, MIMETYPE

__all__ = ["DATA_ALIGNMENT", "MIMETYPE", "Archive", "ArchiveWriter", "Member", "MemberWriter"]
