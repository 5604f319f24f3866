"""What `check` asks of AWS, and its rules."""
