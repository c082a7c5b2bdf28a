"""What `graft doctor` looks at, one noun a file. A check yields findings, and raises `GraftError` where it fails."""
