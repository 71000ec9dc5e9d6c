"""This machine: CPU features, memory, drivers, and which target of a bundle runs on which device."""
