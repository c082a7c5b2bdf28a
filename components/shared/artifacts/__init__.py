"""What steps hand to one another: folders with a manifest, verified as they are read, and what they hold."""
