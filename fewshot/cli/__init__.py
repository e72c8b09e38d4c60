"""The command line ``fewshot-bench``, thin: one file a command."""
