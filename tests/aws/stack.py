"""The template on ministack, an emulator of AWS, with IAM enforced; and the sandbox of the Batch API beside it."""

import copy
import io
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
import zipfile

import boto3
from botocore.config import Config
from samtranslator.yaml_helper import yaml_parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The debug binaries, wherever cargo builds them.
TARGET = subprocess.run([ROOT / ".ci" / "target-dir"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
BINARIES = pathlib.Path(TARGET) / "debug"
REGION = "us-east-1"
ACCOUNT = "000000000000"
STACK = "moondrop"
FUNCTIONS = ("submit", "poll", "collect")
KEY = "key-of-the-sandbox"

# Not known to ministack: the policy of a bus, and saved queries. cfn-lint has looked at them.
UNKNOWN_TYPES = ("AWS::Events::EventBusPolicy", "AWS::Logs::QueryDefinition")


def wait(what, condition, seconds=60, every=0.1):
    """Waits until a condition holds, and gives what it gave."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not after {seconds} s")
        time.sleep(every)


def source():
    """infra/template.yaml as it is."""
    return yaml_parse((ROOT / "infra" / "template.yaml").read_text(encoding="utf-8"))


def template(release):
    """infra/template.yaml with a release's code, which lies in ministack's S3."""
    parsed = source()
    for name in FUNCTIONS:
        parsed["Resources"][f"{name.title()}Function"]["Properties"]["CodeUri"] = f"s3://code/{release}/{name}.zip"
    return json.dumps(adapted(parsed))


def adapted(parsed):
    """The template as ministack takes it: without what it does not know."""
    resources = parsed["Resources"]
    for name in [name for name, resource in resources.items() if resource["Type"] in UNKNOWN_TYPES]:
        del resources[name]
    # Metric math is not known to it: such an alarm watches the first of its metrics here.
    for alarm in [resource["Properties"] for resource in resources.values() if "Metrics" in resource["Properties"]]:
        watched = next(query["MetricStat"] for query in alarm.pop("Metrics") if "MetricStat" in query)
        alarm |= watched["Metric"] | {"Period": watched["Period"], "Statistic": watched["Stat"]}
    # The debug binaries are this machine's.
    parsed["Globals"]["Function"]["Architectures"] = ["x86_64"]
    # A parameter stays a string here, which ministack's mapping of a queue cannot compare: the number that stands for an empty one.
    for function, event in (("SubmitFunction", "Drops"), ("CollectFunction", "Jobs")):
        scaling = resources[function]["Properties"]["Events"][event]["Properties"]["ScalingConfig"]
        scaling["MaximumConcurrency"] = scaling["MaximumConcurrency"]["Fn::If"][2]
    return parsed


def zipped(binary, release):
    """A binary as Lambda takes it: `bootstrap` in a zip. Each release's zip is another one, whatever its binary."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr, entry.compress_type = 0o755 << 16, zipfile.ZIP_DEFLATED
        file.writestr(entry, binary.read_bytes(), compresslevel=1)
        file.writestr("release", release)
    return packed.getvalue()


def readme(mark):
    """The commands of the code block that infra/README.md or infra/UPDATE.md marks so."""
    text = "".join((ROOT / "infra" / page).read_text(encoding="utf-8") for page in ("README.md", "UPDATE.md"))
    marked = re.search(rf"<!-- aws: {mark} -->\n *```sh\n(.*?)```", text, re.DOTALL)
    assert marked, f"neither page has a code block marked `aws: {mark}`"
    return marked[1]


class Stack:
    """Everything that was started. Leaving it ends all of it."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        self.name = STACK
        self.release = "first"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # By TLS: the buckets refuse anything else.
        self.endpoint = f"https://127.0.0.1:{self.port}"
        self.certificate = folder / "ministack-tls" / "server.crt"

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            # Each leads a group of its own, in which ministack's functions are, too.
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait(10)
        for pid in self.processes_of():
            os.kill(pid, signal.SIGKILL)

    def processes_of(self, function=""):
        """The processes of a function, or of all of this stack's."""
        mark, found = f"AWS_ENDPOINT_URL={self.endpoint}".encode(), []
        name = f"AWS_LAMBDA_FUNCTION_NAME={self.function(function) if function else ''}".encode()
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark in environment and any(variable.startswith(name) for variable in environment):
                found.append(int(folder.name))
        return found

    def _spawn(self, name, command, environment, **more):
        log = open(self.folder / f"{name}.log", "w", encoding="utf-8")
        more.setdefault("stdout", log)
        process = subprocess.Popen(
            command, env=environment, cwd=self.folder, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, **more
        )
        self.processes.append(process)
        return process

    def _start(self):
        # With a clean environment, and an endpoint for everything of AWS: its functions inherit both, and would call AWS itself.
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "AUTH": "true",
            "USE_SSL": "1",
            # For the functions: the certificate that ministack makes for itself.
            "SSL_CERT_FILE": str(self.certificate),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
        }
        self._spawn("ministack", [sys.executable, "-B", pathlib.Path(__file__).with_name("emulator.py")], environment)
        self.sandbox = self._spawn(
            "sandbox",
            [BINARIES / "moondrop", "sandbox", "--dir", self.folder / "sandbox", "--job-time", "1s", "--api-key-env", "KEY"],
            {"KEY": KEY},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.api_url = self.sandbox.stdout.readline().strip()
        assert self.api_url, "the sandbox did not start: see sandbox.log"
        wait("ministack is up", self._is_up, 120)
        settings = dict(
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            verify=str(self.certificate),
            config=Config(read_timeout=300, retries={"max_attempts": 0}, max_pool_connections=32),
        )
        for service in ("s3", "cloudformation", "dynamodb", "sqs", "iam", "events", "logs", "secretsmanager", "sns", "stepfunctions"):
            setattr(self, service, boto3.client(service, **settings))
        self.lambda_ = boto3.client("lambda", **settings)
        self.client = lambda service, **more: boto3.client(service, **settings | more)

    def _is_up(self):
        try:
            trust = ssl.create_default_context(cafile=self.certificate)
            return urllib.request.urlopen(self.endpoint + "/_ministack/health", timeout=1, context=trust)
        except OSError:
            return None

    def operator(self):
        """The environment of an operator's AWS CLI."""
        return {
            "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CA_BUNDLE": str(self.certificate),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
        }

    def operate(self, mark, folder=None, **variables):
        """Gives commands of infra/README.md as an operator would; gives what they print."""
        done = self.shell(readme(mark), folder, **variables)
        # `aws cloudformation package` shows its progress there.
        errors = re.sub(r"Uploading to .*", "", done.stderr).strip()
        assert done.returncode == 0 and not errors, (mark, done.returncode, errors, done.stdout)
        return done.stdout

    def shell(self, commands, folder=None, **variables):
        """Commands in a shell that has the AWS CLI and the emulator for AWS."""
        # In its first version the AWS CLI takes no endpoint for SQS from the environment.
        here = 'aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }'
        return subprocess.run(
            ["bash", "-uo", "pipefail", "-c", f"{here}\n{commands}"],
            env=self.operator() | variables, cwd=folder or self.folder, capture_output=True, text=True, timeout=120,
        )

    def script(self, name, **variables):
        """Runs a script of infra/ for this stack as an operator would; gives what it says."""
        done = subprocess.run(
            [ROOT / "infra" / name, self.name],
            env=self.operator() | variables, cwd=self.folder, capture_output=True, text=True, timeout=120,
        )
        assert done.returncode == 0 and not done.stderr, (name, done.returncode, done.stderr, done.stdout)
        return done.stdout

    def upload_code(self):
        for name in FUNCTIONS:
            body = zipped(BINARIES / f"moondrop-{name}", self.release)
            self.s3.put_object(Bucket="code", Key=f"{self.release}/{name}.zip", Body=body)

    def another(self, name):
        """Another stack on the same ministack and sandbox."""
        other = copy.copy(self)
        other.name = name
        return other

    def deploy(self, act, body=None, **parameters):
        """Creates or updates the stack, of another template if one is given, and reads its outputs."""
        # By way of S3, as `sam deploy` does: it is too large to be sent along.
        self.s3.put_object(Bucket="code", Key="template.json", Body=body or template(self.release))
        getattr(self.cloudformation, act)(
            StackName=self.name,
            TemplateURL=f"{self.endpoint}/code/template.json",
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        stack = wait(f"{act}", self._settled, 120)
        events = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        reasons = [event.get("ResourceStatusReason") for event in events if event["ResourceStatus"].endswith("_FAILED")]
        assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), (stack["StackStatus"], reasons)
        self.out = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def put_api_key(self):
        """As the output PutApiKey does."""
        self.secretsmanager.put_secret_value(SecretId=self.id("ApiKeySecret"), SecretString=KEY)

    def delete(self):
        stack = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]["StackId"]
        self.cloudformation.delete_stack(StackName=self.name)
        status = lambda: self.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        ended = wait("the stack is deleted", lambda: None if status().endswith("_IN_PROGRESS") else status(), 60)
        assert ended == "DELETE_COMPLETE", ended

    def _settled(self):
        stack = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]
        return None if stack["StackStatus"].endswith("_IN_PROGRESS") else stack

    def id(self, logical):
        """The name of one of the stack's resources."""
        found = self.cloudformation.describe_stack_resource(StackName=self.name, LogicalResourceId=logical)
        return found["StackResourceDetail"]["PhysicalResourceId"]

    def function(self, function):
        """The name of a function, which CloudFormation made up."""
        return self.id(f"{function.title()}Function")

    def log(self, function, since):
        """What a function has logged since then."""
        group = f"/aws/lambda/{self.name}-{function}"
        pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since)
        return "".join(event["message"] for page in pages for event in page["events"])

    def configure(self, function, **variables):
        """Changes settings of a function. It starts cold then."""
        name = self.function(function)
        now = self.lambda_.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        self.lambda_.update_function_configuration(FunctionName=name, Environment={"Variables": now | variables})
        settled = lambda: self.lambda_.get_function_configuration(FunctionName=name)["LastUpdateStatus"]
        wait(f"{function} is updated", lambda: settled() == "Successful")

    def messages(self, queue, in_hand=True):
        """How many messages a queue has, with or without those that someone has in hand."""
        names = ["ApproximateNumberOfMessages"] + ["ApproximateNumberOfMessagesNotVisible"] * in_hand
        counts = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        return sum(int(count) for count in counts.values())

    def bring_back_soon(self):
        """From now on the queues bring back after a second what failed, and not after 16 or 90 minutes."""
        for queue in ("DropsQueueUrl", "JobsQueueUrl"):
            self.sqs.set_queue_attributes(QueueUrl=self.out[queue], Attributes={"VisibilityTimeout": "1"})

    def redrive(self):
        """Puts dead letters back, as `aws sqs start-message-move-task` does on AWS."""
        for kind in ("Drops", "Jobs"):
            dead, queue = self.out[f"{kind}DeadLettersUrl"], self.out[f"{kind}QueueUrl"]
            while letters := self.sqs.receive_message(QueueUrl=dead).get("Messages"):
                for letter in letters:
                    self.sqs.send_message(QueueUrl=queue, MessageBody=letter["Body"])
                    self.sqs.delete_message(QueueUrl=dead, ReceiptHandle=letter["ReceiptHandle"])
