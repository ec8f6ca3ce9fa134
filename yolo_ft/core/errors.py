"""The one exception for mistakes that the user can mend."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake of the user's, told in one sentence that names the mend.

    The command line prints the sentence and exits with 2; a notebook shows the sentence instead of a traceback.
    """

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: the sentence alone, because the frames of this package do not help the reader."""
        return [f"{type(self).__name__}: {self}"]
