"""What the fuzz targets have in common: functions that are watched, and tokens among what atheris makes up."""

import random
import sys
from collections.abc import Callable, Sequence
from types import FunctionType, ModuleType


def fuzz(check: Callable[[bytes], None], modules: Sequence[ModuleType], tokens: Sequence[bytes]) -> None:
    """
    Run until libFuzzer's arguments say otherwise.

    :param check: takes one input, and raises for a finding.
    :param modules: whose functions and methods are watched.
    :param tokens: what would hardly be found by chance.
    """
    import atheris

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        choice = random.Random(seed)
        if choice.random() < 0.5:
            at = choice.randint(0, len(data))
            data = data[:at] + choice.choice(tokens) + data[choice.randint(at, min(at + 8, len(data))) :]
        else:
            data = atheris.Mutate(data, len(data))
        return data[:most]

    instrument(modules)
    atheris.Setup(sys.argv, check, custom_mutator=mutate)
    atheris.Fuzz()


def instrument(modules: Sequence[ModuleType]) -> None:
    """Watch the functions and methods of modules, and not those that they import."""
    import atheris

    for module in modules:
        for owner in (module, *(value for value in list(vars(module).values()) if isinstance(value, type))):
            for member in list(vars(owner).values()):
                if isinstance(member, FunctionType) and member.__module__ == module.__name__:
                    atheris.instrument_func(member)
