"""Executors: what computes one step of a program over a cache. Knows no requests and no text.

Imports from runtime_shim: device, errors.
"""
