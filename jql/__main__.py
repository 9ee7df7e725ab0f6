"""python -m jql."""

from jql.cli import main

main()
