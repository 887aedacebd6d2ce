"""`python -m stepwell_deploy` is the command line `stepwell`."""

from stepwell_deploy.cli.app import main

main()
