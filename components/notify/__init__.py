"""What a run came to, told to a webhook."""
