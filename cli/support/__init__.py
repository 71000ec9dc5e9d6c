"""Parts that commands share: arguments, console, progress, reports.

Imports from cli: nothing.
"""
