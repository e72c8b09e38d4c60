"""Readers of files: images, tables, arrays, texts."""
