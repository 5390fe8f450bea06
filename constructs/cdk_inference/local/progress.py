"""What a user sees while something takes long: one line for each step, with its time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

Detail = Callable[[str], None]
"""Takes what a step is doing right now; shown beside its title while it runs."""


@contextmanager
def step(console: Console, title: str) -> Iterator[Detail]:
    """Show ``title`` with a spinner while the block runs, then with the time it took.

    Where the output is no terminal, a line at the start and one at the end.

    Example:
        >>> with step(Console(), "Deploying") as detail:
        ...     detail("3/10 AWS::Lambda::Function")
    """
    started = time.monotonic()
    if not console.is_terminal:
        console.print(f"{title} …", highlight=False, markup=False)
    with console.status(escape(title)) as status:
        yield lambda text: status.update(f"{escape(title)}  [dim]{escape(text[:60])}[/dim]")
    seconds = time.monotonic() - started
    console.print(f"[green]✓[/green] {escape(title)} [dim]{seconds:.1f} s[/dim]", highlight=False)
