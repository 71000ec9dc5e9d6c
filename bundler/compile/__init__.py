"""A model to compiled modules: trace, program, targets, the compiler and its cache.

Imports from bundler: progress.
"""
