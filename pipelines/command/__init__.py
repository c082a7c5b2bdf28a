"""The `graft` command: its verbs, and what they tell on a terminal."""
