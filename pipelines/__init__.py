"""What runs where: the pipelines, the job file, the `graft` command."""
