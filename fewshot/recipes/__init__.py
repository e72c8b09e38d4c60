"""Recipes: one experiment, one flat YAML file."""
