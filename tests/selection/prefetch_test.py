"""Items made ahead: order, overlap, errors, and an end that waits for nothing."""

import threading

import pytest

from depara_jax.walk.batches import ahead


def test_items_come_in_order_and_all_of_them():
    assert list(ahead(iter(range(7)))) == list(range(7))
    assert list(ahead([])) == []
    assert list(ahead([None, None])) == [None, None]


def test_the_next_item_is_made_while_one_is_in_use():
    made = threading.Event()

    def items():
        yield 0
        made.set()
        yield 1

    taken = ahead(items())
    assert next(taken) == 0
    # Nobody has asked for the second item yet.
    assert made.wait(timeout=30)
    assert list(taken) == [1]


def test_one_item_is_held_and_no_more():
    made = []

    def items():
        for i in range(5):
            made.append(i)
            yield i

    taken = ahead(items())
    next(taken)
    next(taken)
    taken.close()  # waits for the item under way
    assert made == [0, 1, 2]


def test_an_error_is_raised_where_the_item_would_have_come():
    def items():
        yield 0
        raise ValueError("torn picture")

    taken = ahead(items())
    assert next(taken) == 0
    with pytest.raises(ValueError, match="torn picture"):
        next(taken)
