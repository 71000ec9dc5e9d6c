"""Model recipes, one file an architecture. `names` lists them without torch; `recipes` is the table.

Imports from templates: kernels, layers.
"""
