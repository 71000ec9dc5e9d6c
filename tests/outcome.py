"""The outcome of a command line, and what it has to be where it fails."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of one command line."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The message of a failure that printed its one line and nothing else."""
        assert (self.status, self.out) == (2, ""), self
        assert self.err.startswith("error: "), self
        assert self.err.count("\n") == 1, self
        return self.err.removeprefix("error: ").removesuffix("\n")
