"""Where data and artifacts lie, and what it takes to reach it: files, S3, patience with services."""
