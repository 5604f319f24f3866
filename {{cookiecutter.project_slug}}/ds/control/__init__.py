"""What runs on the control node: the commands, the owner's files, checks and local runs."""
