"""What SAM makes of a template, without AWS: translate.py TEMPLATE.yaml OUT.json"""

import json
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

source, out = sys.argv[1:]
with open(source, encoding="utf-8") as file:
    template = yaml_parse(file.read())
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Serverless::Function":
        # `sam deploy` puts the code into a bucket; where does not matter here.
        resource["Properties"]["CodeUri"] = "s3://code/function.zip"


class NoManagedPolicies:
    """SAM asks AWS for the managed policies that a template names. This one names none."""

    def load(self):
        return {}


with open(out, "w", encoding="utf-8") as file:
    json.dump(transform(template, {}, NoManagedPolicies()), file, indent=1)
