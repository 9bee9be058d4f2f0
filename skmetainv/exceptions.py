"""Warnings of this library."""


class InnerStepsWarning(UserWarning):
    """More inner steps are asked for than step sizes were learned for."""


class WeightsWarning(UserWarning):
    """A file of weights leaves a choice, which was made: the message says how."""
