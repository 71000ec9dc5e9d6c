"""Opened bundles: manifest, tokenizer and chat template, from a file or from memory.

Imports from runtime_shim: device, errors, text.
"""
