"""The command line: fewshot-bench."""
