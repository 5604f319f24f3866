"""Readers and checks of the files that users write."""
