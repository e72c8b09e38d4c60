"""Choosing between models without labels of the target: one rule a file, pure functions of numbers.

Each takes what one model gives (losses on source rows that it was not trained on, scores or features of target rows,
weights of source rows) and returns one number; a docstring says whether more or less of it is better.
"""
