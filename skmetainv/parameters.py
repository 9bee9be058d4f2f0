"""Scikit-learn's declarative checks of parameters, imported in this one place.

They are private there (`sklearn.utils._param_validation`), unchanged since 1.2, and used by many
libraries; should they move, only this module does.
"""

from sklearn.utils._param_validation import Interval, StrOptions

__all__ = ["Interval", "StrOptions"]
