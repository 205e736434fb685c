"""Messages advise commands for the environment in use."""

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

from slicefill.advice import remember_run


class EnvironmentHook:
    """Remembers the environment and the overrides of a run for the commands that it advises."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember them before anything is loaded."""
        remember_run(context.env, context.config_loader.runtime_params or {})
