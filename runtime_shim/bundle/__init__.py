"""Opened bundles: manifest, tokenizer and chat template, from a file or from memory."""
