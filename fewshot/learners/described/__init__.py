"""Learners that classify by descriptions of classes, alone or with examples."""
