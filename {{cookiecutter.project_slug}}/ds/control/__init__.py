"""The code of the control node: commands, the owner's files, checks and local runs."""
