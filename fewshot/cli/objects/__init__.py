"""From names on the command line to objects, and to what a result needs."""
