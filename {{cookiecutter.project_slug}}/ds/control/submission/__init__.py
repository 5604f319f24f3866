"""What `submitJob` does: which groups are left to send, sending them, and the journal of both."""
