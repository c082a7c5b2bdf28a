"""MLflow's registry and runs: versions, aliases, promotions, the embedded store."""
