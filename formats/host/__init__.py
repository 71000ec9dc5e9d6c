"""This machine: its CPU and its control groups, as builds and the runtime see them alike. Standard library only.

Imports from formats: nothing.
"""
