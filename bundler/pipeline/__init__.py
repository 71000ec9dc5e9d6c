"""The steps between a source and an output: plan, parameters, description. The verbs in bundler/ call them."""
