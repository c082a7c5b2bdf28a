"""A challenger into the champion, if it is better."""
