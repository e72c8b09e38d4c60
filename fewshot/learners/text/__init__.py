"""Learners that train a sentence model."""
