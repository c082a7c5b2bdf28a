"""The page of an evaluation, and what it draws."""
