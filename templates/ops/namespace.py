"""The namespace under which torch knows our operators."""

NAMESPACE = "sharkpack"
