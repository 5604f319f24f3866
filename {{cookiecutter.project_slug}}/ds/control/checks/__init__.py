"""The questions and rules of `check`."""
