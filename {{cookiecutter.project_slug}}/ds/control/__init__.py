"""What a person types: the commands, the files of the owner, checks and local runs."""
