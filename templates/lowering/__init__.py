"""From operators as data to what a compiler takes: the traced program, read from its text, and each target's lowering.

Knows neither torch nor MLIR's bindings: a stored program is lowered with neither. Import from the modules.

Imports from templates: kernels.
"""
