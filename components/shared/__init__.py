"""What several steps need. Imports no step and no kfp."""
