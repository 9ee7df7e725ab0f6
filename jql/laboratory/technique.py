"""A hook with settings, which a checkpoint keeps so that no run goes on with others."""

from dataclasses import dataclass, fields
from typing import Any

from jql.errors import RecipeError
from jql.pretrain.hooks import Hook


@dataclass
class Technique(Hook):
    """A dataclass whose fields are its settings, but for those without a `repr`."""

    def settings(self) -> dict[str, Any]:
        """Name -> value, which a checkpoint gives back as it is."""
        found = {field.name: getattr(self, field.name) for field in fields(self) if field.repr}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    def state(self) -> dict[str, Any]:
        """The settings: the trainer itself compares no more than the names of hooks."""
        return self.settings()

    def load(self, state: dict[str, Any]) -> None:
        """Nothing to go on from.

        Raises:
            RecipeError: the run was begun with another setting.
        """
        for name, value in self.settings().items():
            if (before := state.get(name)) != value:
                found = f"the checkpoint was made with {before}, got {value}"
                raise RecipeError(f"{type(self).__name__}.{name}: {found}; write {before} or choose another folder")
