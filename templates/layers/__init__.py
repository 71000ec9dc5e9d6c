"""Layers and modules that recipes share. Knows no architecture."""
