"""The translator changes what podman cannot run, says so, and changes nothing else."""
