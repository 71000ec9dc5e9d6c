"""The formats of files and blocks: archive, manifest, IRPA, GGUF, quantised blocks.

Imports numpy and zstandard; never torch, IREE or the compiler."""
