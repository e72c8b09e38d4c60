"""Learners: one paper a file."""
