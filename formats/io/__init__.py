"""Files and values: mapped input, output that appears whole or not at all, strict JSON. Knows no model.

Imports from formats: errors.
"""
