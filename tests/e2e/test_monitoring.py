"""A watched function on the emulator, which knows plain alarms, metric filters and topics."""

from cdk_inference.local import Deployment

from tests.e2e.emulated import client


def test_alarms_go_to_the_topic(deployment: Deployment) -> None:
    (topic,) = (
        topic["TopicArn"]
        for topic in client(deployment.emulator, "sns").list_topics()["Topics"]
        if "MonitoredStack" in topic["TopicArn"]
    )
    alarms = {
        alarm["MetricName"]: alarm["AlarmActions"]
        for alarm in client(deployment.emulator, "cloudwatch").describe_alarms()["MetricAlarms"]
        if "MonitoredStack" in alarm["AlarmName"]
    }
    assert alarms == {"Duration": [topic], "Throttles": [topic], "MemoryUsed": [topic]}


def test_what_the_emulator_does_not_know_is_left_out(deployment: Deployment) -> None:
    unknown = {omission.type for omission in deployment.left_out if not omission.needs}
    assert unknown >= {
        "AWS::Budgets::Budget",
        "AWS::CloudWatch::Alarm",
        "AWS::Logs::QueryDefinition",
        "AWS::Serverless::Application",
    }
