"""The `.shark` archive: strict ZIP64 records, the manifest and its parts, its reader and its writer.

May import numpy, zstandard, sharkpack.formats.io and sharkpack.formats.model_files.irpa.
"""
