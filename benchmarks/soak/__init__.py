"""A fleet that faults befall at random, for hours: every poll is accounted for, and nothing grows.

    make soak ARGS="--seconds 7200 --seed 7 --out build/soak"

    __main__.py    the run: options, and the order of things
    schedule.py    which fault befalls which machine, when and for how long: by a seed alone
    ward.py        the machines and the daemon
    watched.py     the daemon's program: as it is, but it counts due moments, and can be looked at
    page.py        one page of the daemon's, as numbers
    strikes.py     faults strike and are healed, and what was seen of each
    invariants.py  what must hold of every page
    sampling.py    what is noted now and then
    slope.py       a straight line through noisy samples, and how sure its slope is
    summary.py     what is told at the end: Markdown and JSON
    plot.py        the same as a picture

The faults are the rows of tests/faults, and pauses after failures are as long as they are in earnest.
"""
