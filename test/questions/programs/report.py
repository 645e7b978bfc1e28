"""A report: what developers of and with CPython ask about at a breakpoint. It stops in
`inspect`, by getppid(2)."""

import collections
import json
import os
import sys


class Account:
    limit = 500

    def __init__(self, name, cents):
        self.name = name
        self.cents = cents
        self.history = [cents]

    def __repr__(self):
        return "Account(%r, %d)" % (self.name, self.cents)

    def add(self, cents):
        self.cents += cents
        self.history.append(cents)
        if self.cents > self.limit:
            raise ValueError("too much for " + self.name)


def inspect(accounts, round, why):
    text = "caf\u00e9 " + why
    numbers = {"one": 1, "large": 2**70, "real": 1.5, "none": None, "yes": True}
    words = ("a", b"bytes", frozenset([3]))
    return os.getppid()  # stop here


def recurse(accounts, levels):
    if levels == 0:
        return inspect(accounts, 2, "deep")
    return recurse(accounts, levels - 1)


def main():
    accounts = collections.OrderedDict()
    for name, cents in (("anna", 100), ("ben", 250)):
        accounts[name] = Account(name, cents)
    inspect(accounts, 1, "first")
    try:
        accounts["ben"].add(300)
    except ValueError as error:
        print(error)
    recurse(accounts, 3)
    print(json.dumps({name: account.cents for name, account in accounts.items()}))
    inspect(accounts, 3, "third")
    sys.stdout.write("end\n")
    inspect(accounts, 4, "last")


main()
