"""What a step is as a process: its command, its signals, its cores, its locks."""
