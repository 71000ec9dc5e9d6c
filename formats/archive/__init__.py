"""The `.shark` archive: strict ZIP64 records, the manifest and its parts, its reader and its writer.

May import numpy and zstandard.

Imports from formats: cache_geometry, errors, io, model_files.
"""
