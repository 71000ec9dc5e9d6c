"""Model recipes (torch modules, one file an architecture) and kernel templates (MLIR).

May import torch and sharkpack.formats; never the compiler or turbine.
"""
