"""The maps that operators build: modules that compute ``A`` and everything that solvers need."""
