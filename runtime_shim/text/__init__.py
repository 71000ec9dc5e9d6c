"""Text to tokens and back: prompts, chat templates, detokenizing, stop strings. Knows no device.

Imports from runtime_shim: errors.
"""
