"""Tools over an engine or a program: perplexity, dumps of calls."""
