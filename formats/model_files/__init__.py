"""Model files of others: GGUF, safetensors, IRPA and importance matrices, read and written in place.

Imports from formats: errors, io, quant.
"""
