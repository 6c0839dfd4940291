"""Recipes that ship with the package, one YAML file each; `hf-dialects train NAME` finds them by name."""
