"""Warnings of this library."""


class InnerStepsWarning(UserWarning):
    """More inner steps are asked for than step sizes were learned for."""


class SkippedFilesWarning(UserWarning):
    """Files of a folder of pictures are left out."""
