"""The work of `submitJob`: it finds the unsent groups, sends them, and keeps a journal."""
