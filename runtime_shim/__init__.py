"""Archive -> device -> engine -> tokens. Imports iree.runtime, numpy, tokenizers, jinja2 and sharkpack.formats; nothing else of ours."""
