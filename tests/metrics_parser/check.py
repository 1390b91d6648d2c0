"""What Prometheus' own parser reads from the program's /metrics (given as text on standard input)."""

import sys

from prometheus_client.parser import text_string_to_metric_families

text = sys.stdin.read()
families = {family.name: family for family in text_string_to_metric_families(text)}
assert len(families) > 20, families.keys()
for family in families.values():
    assert family.documentation and family.type in ("counter", "gauge", "histogram"), family


def value(name, **labels):
    family = families[name.removesuffix("_total").removesuffix("_count").removesuffix("_sum")]
    found = [sample.value for sample in family.samples if sample.name == name and sample.labels == labels]
    assert len(found) == 1, (name, labels, found)
    return found[0]


published = int(sys.argv[1])
assert value("mcpmqtt_tool_calls_total", tool="mqtt_publish", outcome="ok") == published
assert value("mcpmqtt_tool_calls_total", tool="mqtt_publish", outcome="error") == 1
assert value("mcpmqtt_tool_call_duration_seconds_count", tool="mqtt_publish") == published + 1
assert value("mcpmqtt_tool_call_duration_seconds_sum", tool="mqtt_publish") > 0
assert value("mcpmqtt_mqtt_messages_sent_total", qos="1") == published
assert value("mcpmqtt_http_auth_failures_total", reason="no_key") == 1
assert value("process_resident_memory_bytes") > 1 << 20
print(f"{len(families)} families, {sum(len(f.samples) for f in families.values())} samples")
