"""Model files of others: GGUF, safetensors, IRPA and importance matrices, read and written in place."""
