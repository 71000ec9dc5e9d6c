"""Source model -> plan -> weights -> program -> vmfbs -> archive.

May import sharkpack.templates, sharkpack.formats, the compiler and turbine; never the runtime shim.
"""
