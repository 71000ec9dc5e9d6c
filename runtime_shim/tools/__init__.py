"""Tools over an engine or a program: perplexity, dumps of calls.

Imports from runtime_shim: engine, errors, executor.
"""
