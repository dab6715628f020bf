"""What infra/package makes of binaries that are built already, and a stack that is deployed from it with no parameter at all."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

from drops import Drops, small
from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse
from stack import BINARIES, FUNCTIONS, REGION, ROOT, adapted, wait

FILES = ["SHA256SUMS", *sorted(f"{function}.zip" for function in FUNCTIONS), "template.yaml"]


def package(binaries, out):
    command = [sys.executable, "-B", ROOT / "infra" / "package", "--binaries", binaries, out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in out.iterdir()) == FILES, done.stdout
    return out


class NoManagedPolicies(ManagedPolicyLoader):
    """SAM asks AWS for the managed policies that a template names. This one names none."""

    def __init__(self):
        super().__init__(None)

    def load(self):
        return {}


class Package:
    def __init__(self, stack, another):
        self.stack, self.other = stack, another

    def run(self):
        folder = self.stack.folder / "package"
        folder.mkdir()
        self.same_bytes(folder)
        # As `sam build` leaves them.
        for function in FUNCTIONS:
            built = folder / "build" / f"{function.title()}Function"
            built.mkdir(parents=True)
            shutil.copy2(BINARIES / f"moondrop-{function}", built / "bootstrap")
        out = package(folder / "build", folder / "out")
        self.stack.operate("package", folder=out, CODE="code")
        template = yaml_parse((out / "packaged.yaml").read_text(encoding="utf-8"))
        self.resolved(template, out)
        return self.deployed(template)

    def same_bytes(self, folder):
        """Of the same binaries, whenever they were built, and under either name."""
        sums = set()
        for time in (1, 2):
            builds = folder / f"small-{time}"
            for function in FUNCTIONS:
                names = (f"moondrop-{function}", f"{function.title()}Function/bootstrap")
                file = builds / names[time - 1]
                file.parent.mkdir(parents=True, exist_ok=True)
                with open(BINARIES / f"moondrop-{function}", "rb") as whole:
                    file.write_bytes(whole.read(4096) + function.encode())
            sums.add((package(builds, folder / f"sums-{time}") / "SHA256SUMS").read_text())
        assert len(sums) == 1, sums

    def resolved(self, template, out):
        """What SAM makes of it with the parameters' defaults."""
        assert {parameter["Default"] is not None for parameter in template["Parameters"].values()} == {True}
        # SAM asks for the region.
        os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
        resources = transform(json.loads(json.dumps(template)), {}, NoManagedPolicies())["Resources"]
        functions = {name: each["Properties"] for name, each in resources.items() if each["Type"] == "AWS::Lambda::Function"}
        assert sorted(functions) == sorted(f"{function.title()}Function" for function in FUNCTIONS), list(functions)
        for name, properties in functions.items():
            code = properties["Code"]
            packed = self.stack.s3.get_object(Bucket=code["S3Bucket"], Key=code["S3Key"])["Body"].read()
            local = out / f"{name.removesuffix('Function').lower()}.zip"
            assert packed == local.read_bytes(), f"{name} got other code than {local.name}"
            with zipfile.ZipFile(local) as file:
                (entry,) = file.infolist()
                assert entry.filename == properties["Handler"] == "bootstrap" and entry.external_attr >> 16 & 0o111, entry
                machine = {0x3E: "x86_64", 0xB7: "arm64"}[int.from_bytes(file.read(entry)[18:20], "little")]
            assert properties["Architectures"] == [machine] and properties["Runtime"] == "provided.al2023", properties
            assert "ReservedConcurrentExecutions" not in json.dumps(properties) or name == "PollFunction", properties

    def deployed(self, template):
        """Without a parameter there is no policy: a file is refused before anything is asked of the API, which is the real one."""
        other = self.stack.another(self.other)
        other.deploy("create_stack", body=json.dumps(adapted(template)))
        other.events.disable_rule(Name=other.id("TickRule"))
        drops = Drops(other)
        drops.drop("posts.csv", small("posts"))
        folder, status = drops.reaches("posts.csv", ["rejected"])
        assert status["problem"]["code"] == "E_POLICY", status
        assert drops.read(f"{folder}rejected.csv").count(b"\n") == 2
        wait("the message is done with", lambda: other.messages(other.out["DropsQueueUrl"]) == 0, 30)
        other.delete()
        return "the zips that were packed; a file is refused with E_POLICY, and the stack is deleted"
