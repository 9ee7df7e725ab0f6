"""An iterator whose next items are made in a thread while the caller works on the last one."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
_END: Any = object()


def ahead(items: Iterable[Item], depth: int = 2) -> Generator[Item, None, None]:
    """The items, in order, up to `depth` of them made before they are asked for, all in one thread.

    An error of theirs is raised where its item would have come. Closing the generator waits for the item that is being
    made, and closes `items` too if that is a generator.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        pending = deque(thread.submit(next, iterator, _END) for _ in range(depth))
        try:
            while (item := pending.popleft().result()) is not _END:
                pending.append(thread.submit(next, iterator, _END))
                yield item
        finally:
            for later in pending:
                later.cancel()
            if isinstance(iterator, Generator):
                thread.submit(iterator.close).result()
