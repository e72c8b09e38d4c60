"""Learners that adapt a network by gradient steps."""
