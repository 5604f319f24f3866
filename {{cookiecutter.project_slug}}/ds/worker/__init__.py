"""The part of an implementation that runs in the container: takes jobs and runs the command."""
