"""The four clusters on one machine without Kubernetes: their manifests, built as for KinD, run by `podman kube play`."""
