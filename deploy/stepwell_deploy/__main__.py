"""Entry point of `python -m stepwell_deploy`, the command line `stepwell`."""

from stepwell_deploy.cli.app import main

main()
