"""The rules of infra/examples on the stack's bus: what they make of the events of real drops."""

import json

from samtranslator.yaml_helper import yaml_parse
from stack import ROOT, STACK, wait

# Not known to ministack: the Slack channel, and the webhook's connection and destination. cfn-lint has looked at them.
UNKNOWN_TYPES = ("AWS::Chatbot::SlackChannelConfiguration", "AWS::Events::ApiDestination", "AWS::Events::Connection")
WORKFLOW = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}


class Examples:
    def __init__(self, stack):
        self.stack, self.cloudformation, self.sqs = stack, stack.cloudformation, stack.sqs
        self.deployed, self.seen = [], {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in self.deployed:
            self.cloudformation.delete_stack(StackName=name)

    def deploy(self, name, **parameters):
        """Deploys infra/examples/NAME.yaml, without what ministack does not know."""
        template = yaml_parse((ROOT / "infra" / "examples" / f"{name}.yaml").read_text(encoding="utf-8"))
        resources = template["Resources"]
        for unknown in [each for each, resource in resources.items() if resource["Type"] in UNKNOWN_TYPES]:
            del resources[unknown]
        parameters["Bus"] = self.stack.out["EventBusName"]
        self.cloudformation.create_stack(
            StackName=f"{STACK}-{name}",
            TemplateBody=json.dumps(template),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        self.deployed.append(f"{STACK}-{name}")
        describe = lambda: self.cloudformation.describe_stacks(StackName=f"{STACK}-{name}")["Stacks"][0]["StackStatus"]
        status = wait(f"{name} is deployed", lambda: None if describe().endswith("_IN_PROGRESS") else describe(), 60)
        assert status == "CREATE_COMPLETE", (name, status)

    def listen(self, name):
        """A queue that gets what the example publishes on its topic."""
        found = self.cloudformation.describe_stack_resource(StackName=f"{STACK}-{name}", LogicalResourceId="Topic")
        topic = found["StackResourceDetail"]["PhysicalResourceId"]
        queue = self.sqs.create_queue(QueueName=f"{STACK}-{name}")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow | {"Condition": {"ArnEquals": {"aws:SourceArn": topic}}}]})
        self.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
        self.stack.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
        return queue

    def received(self, queue, mark):
        """The message on the queue that has this in it."""
        seen = self.seen.setdefault(queue, [])

        def find():
            seen.extend(message["Body"] for message in self.sqs.receive_message(QueueUrl=queue).get("Messages", []))
            return next((body for body in seen if mark in body), None)

        return wait(f"a message with {mark}", find, 30)

    def workflow(self):
        """A state machine that does nothing, for the executions that it is given."""
        trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        role = self.stack.iam.create_role(RoleName=f"{STACK}-workflow", AssumeRolePolicyDocument=document)["Role"]["Arn"]
        made = self.stack.stepfunctions.create_state_machine(
            name=f"{STACK}-workflow", definition=json.dumps(WORKFLOW), roleArn=role
        )
        return made["stateMachineArn"]

    def executions(self, machine):
        """The inputs of its executions."""
        states = self.stack.stepfunctions
        found = states.list_executions(stateMachineArn=machine)["executions"]
        return [json.loads(states.describe_execution(executionArn=each["executionArn"])["input"]) for each in found]
