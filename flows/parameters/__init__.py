"""params.yaml: read, checked, overridden, taken from a recipe, described."""
