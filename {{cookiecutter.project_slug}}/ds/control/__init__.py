"""The control node's half: what a person types, one module per command."""
