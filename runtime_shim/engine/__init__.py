"""The engine: requests, scheduling, cache pages, sampling. Knows no device."""
