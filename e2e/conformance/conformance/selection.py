"""What of the tests runs."""

from minicluster.run import Failure


def words(name: str | None, tests: list[dict]) -> list[str]:
    """The words that choose what runs: all, or the one test of that name, be it the suite's or our own."""
    if name is None:
        # Our own tests come second, on the suite's base, and take it down.
        return ["-test.run=^(TestConformance|TestOwn)$", "-cleanup-base-resources=false"]
    found = next((test for test in tests if test["name"] == name), None)
    if found is None:
        raise Failure(f"there is no test {name}, neither of the suite nor of our own")
    return [f"-test.run=^{'TestOwn' if found['own'] else 'TestConformance'}$", f"-run-test={name}"]
