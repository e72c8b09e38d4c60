"""Random damage to every kind of file that the package reads; see ``scripts/fuzz``."""
