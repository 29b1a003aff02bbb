"""`python tests/golden/report.py [group ...]`: how every golden case fares, with the largest z of each group."""

import sys
import time
from collections import Counter
from importlib import import_module
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # this folder is not installed

from tests.golden.catalog import cases, unsupported
from tests.golden.tolerance import z_limit

GROUPS = ("pulse_response", "device_presets", "update_statistics", "mvm", "compounds", "inference")


def main(groups: list[str], verbose: bool) -> int:
    failed_any = False
    for group in groups:
        module, start = import_module(f"tests.golden.test_{group}"), time.perf_counter()
        outcome, skipped, worst = Counter(), Counter(), (0.0, "")
        for name, case in cases(group).items():
            reason = getattr(module, "unsupported", unsupported)(case)
            if reason is not None:
                skipped[reason] += 1
                continue
            for sequential in (False, True):
                if sequential and name not in module.SEQUENTIAL:
                    continue
                label = name + " (one by one)" * sequential
                verdict = module.replay(name, sequential)
                outcome["failed" if verdict.failures else "passed"] += 1
                worst = max(worst, (verdict.max_z, label))
                if verbose:
                    print(f"    {label}: z {verdict.max_z:.2f} of {z_limit(verdict.count):g}, {verdict.count} numbers")
                for bad in verdict.failures:
                    print(f"  FAILED {label}: {bad.what}: z {bad.z:.3g} {bad.where}")
        failed_any |= outcome["failed"] > 0
        print(
            f"{group}: {outcome['passed']} passed, {outcome['failed']} failed, {sum(skipped.values())} skipped, ",
            end="",
        )
        print(f"max z {worst[0]:.2f} ({worst[1]}), {time.perf_counter() - start:.0f} s")
        for reason, count in skipped.most_common():
            print(f"    {count:3d} skipped: {reason}")
    return int(failed_any)


if __name__ == "__main__":
    chosen = [group for group in sys.argv[1:] if not group.startswith("-")]
    sys.exit(main(chosen or list(GROUPS), "-v" in sys.argv))
