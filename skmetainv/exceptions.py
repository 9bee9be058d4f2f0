"""Warnings of this library."""


class InnerStepsWarning(UserWarning):
    """More inner steps are asked for than step sizes were learned for."""
