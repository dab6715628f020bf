"""An update of the stack with drops in flight, and the way back to the release before: what infra/UPDATE.md says of them."""

from drops import compare
from stack import FUNCTIONS, wait


def update(drive, local):
    """One drop is begun by the first release and another by the second; each is in flight when its release is replaced."""
    stack, drops = drive.stack, drive.drops
    first = code(stack)
    drops.drop("before.csv", drive.large)
    wait("submit is at work on it", lambda: drops.statuses("before.csv"), every=0.01)
    seen = [drops.statuses("before.csv")[-1][1]["state"]]

    stack.release = "second"
    stack.upload_code()
    stack.deploy("update_stack", **drive.parameters | {"UploadsAtOnce": "2"})
    second = code(stack)
    assert all(first[name] != second[name] for name in FUNCTIONS), "every function has other code"
    drops.drop("after.csv", drive.large)
    seen.append(drops.reaches("after.csv", ["uploading", "evaluating"])[1]["state"])

    forms = stack.operate("forms", TABLE=stack.out["LedgerTable"]).split()[1::2]
    assert forms and all(form.isdecimal() for form in forms), forms

    stack.release = "first"
    stack.deploy("update_stack", **drive.parameters)
    assert code(stack) == first, "every function has its code of before"
    # Lambda lets an invocation end with the code it began with. ministack ends it at once, so that poll has to find the drop stalled.
    stack.configure("poll", STALLED_AFTER_SECONDS="1")
    done = drops.finish(["before.csv", "after.csv"])
    for name in done:
        ((folder, _),) = done[name]
        compare(drops, folder, local())
    stack.configure("poll", STALLED_AFTER_SECONDS="")
    live = [job["name"] for job in drops.jobs() if not job["state"].endswith("CANCELLED")]
    assert len(live) == len(set(live)), "a part has two live jobs"
    return f"replaced while {seen[0]}, and back while {seen[1]}: both byte for byte, one live job per part"


def code(stack):
    """The digests of the functions' code."""
    configuration = lambda name: stack.lambda_.get_function_configuration(FunctionName=stack.function(name))
    return {name: configuration(name)["CodeSha256"] for name in FUNCTIONS}
