"""Protocols that fail on marked images; a module of their own, as worker processes have to import them."""

import os
import time
from dataclasses import fields

from mattekit.evaluation import PROTOCOLS, BenchmarkProtocol

MARK = 77  # the value of a prediction's first pixel that makes trouble


class Raising(BenchmarkProtocol):
    def evaluate(self, pred, alpha, trimap=None, **options):
        if pred[0, 0] == MARK:
            raise MemoryError("no room")
        return super().evaluate(pred, alpha, trimap, **options)


class Dying(BenchmarkProtocol):
    def evaluate(self, pred, alpha, trimap=None, **options):
        if pred[0, 0] == MARK:
            os._exit(1)  # as a segmentation fault or the kernel's memory killer would
        return super().evaluate(pred, alpha, trimap, **options)


class Sleeping(BenchmarkProtocol):
    def evaluate(self, pred, alpha, trimap=None, **options):
        os.write(1, b"%d\n" % os.getpid())
        time.sleep(600)
        return super().evaluate(pred, alpha, trimap, **options)


def like(cls, name: str) -> BenchmarkProtocol:
    return cls(**{field.name: getattr(PROTOCOLS[name], field.name) for field in fields(BenchmarkProtocol)})
