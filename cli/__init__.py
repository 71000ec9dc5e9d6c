"""argv -> a call into bundler or runtime_shim -> rich output. The only place that prints; imports lazily."""
