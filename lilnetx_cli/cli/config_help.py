"""`--help` of a verb whose options get their defaults from the configuration."""

from typing import Any

from typer.core import TyperCommand, TyperOption

# Options that are not called as the setting is.
OTHERWISE = {
    "model": "model.name",
    "dataset": "data.name",
    "data_dir": "data.dir",
    "compile_": "train.compile",
}


class ConfigCommand(TyperCommand):
    """Shows the defaults and choices of settings, which it imports only then."""

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write the options into a help text."""
        from lilnetx_cli.config import all_settings

        settings = all_settings()
        by_last = {name.partition(".")[2]: name for name in settings}
        for option in self.params:
            name = OTHERWISE.get(str(option.name)) or by_last.get(str(option.name))
            if name is None or not isinstance(option, TyperOption):
                continue
            setting = settings[name]
            if setting.choices:
                option.metavar = "|".join(setting.choices)
            if setting.default is not None and type(setting.default) is not bool:
                option.help = f"{option.help}  [default: {setting.default}]"
        super().format_options(ctx, formatter)
