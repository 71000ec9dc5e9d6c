"""This machine: CPU features, memory, drivers, and which target of a bundle runs on which device.

Imports from runtime_shim: checks, errors.
"""
