"""Scores that say, before any training, how well features or a classifier of one task suit another: one a file.

Each takes what a network gives for labelled rows of the target and returns one number; more of it is better. Scores of
different networks on the same rows are compared with one another; a number by itself says little.
"""
