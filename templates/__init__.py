"""Model recipes (torch modules, one file an architecture) and kernel templates (MLIR). Imports torch and sharkpack.formats."""
