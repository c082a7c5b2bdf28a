"""What the steps do: one folder a step, and what several of them need in `shared`."""
