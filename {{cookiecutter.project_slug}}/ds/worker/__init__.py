"""The container's half of an implementation: takes jobs from the queue and runs the command."""
