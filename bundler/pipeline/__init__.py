"""The steps between a source and an output: plan, parameters, description. The verbs in bundler/ call them.

Imports from bundler: background, compile, model_spec, options, progress, quantize, sources, tokenizer.
"""
