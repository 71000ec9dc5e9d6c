"""The engine: requests, scheduling, cache pages, sampling. Knows no device.

Imports from runtime_shim: bundle, checks, device, errors, executor, text.
"""
