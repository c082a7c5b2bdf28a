"""Features and a backbone into a model."""
