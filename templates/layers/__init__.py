"""Layers and modules that recipes share. Knows no architecture.

Imports from templates: kernels, ops.
"""
