"""The command line. Modules here import only typer at the top; everything heavy is imported inside the commands."""
