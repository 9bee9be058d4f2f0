"""What operators build: modules that compute ``A`` and all that solvers ask of it."""
