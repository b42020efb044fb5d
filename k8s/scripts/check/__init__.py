"""Checks of the manifests that no schema makes: whether the objects of a cluster fit each other, and the binaries."""
