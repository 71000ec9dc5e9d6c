"""Source model -> plan -> weights -> program -> vmfbs -> archive. Imports sharkpack.templates and sharkpack.formats, the compiler and turbine."""
