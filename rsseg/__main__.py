"""``python -m rsseg``, which torchrun uses too."""

from rsseg.cli import main

main()
