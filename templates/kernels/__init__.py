"""Hand-written kernels as MLIR text, one file an operation, written by Python functions over an `Emitter`.

A kernel knows shapes, layouts and the instruction set it is written for; it knows nothing of models.
May import the standard library and sharkpack.formats; never numpy.

Imports from templates: nothing.
"""
