"""Denoisers: priors for solvers, classical and learned."""
