"""A Kubeflow cluster: compiled pipelines, deployments, schedules, runs."""
