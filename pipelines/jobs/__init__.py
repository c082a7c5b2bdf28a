"""The job file: what it may say, and how its faults are told."""
