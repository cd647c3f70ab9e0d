"""The 2019 package's helpers for PyTorch."""
