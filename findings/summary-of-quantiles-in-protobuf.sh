#!/usr/bin/env bash
# A summary that has quantiles and neither count nor sum is the same family in the text format and in protobuf, where
# sample_count and sample_sum are optional fields. Prometheus 3.5 (Debian forky's package) makes one series of it out of
# text, and three out of protobuf: `_count` and `_sum` at 0, which rates and averages then believe.
# Seen: from text quantiles alone; from protobuf x_count 0 and x_sum 0 beside them.
# Source: model/textparse of prometheus/prometheus; io/prometheus/client/metrics.proto of prometheus/client_model.
# Needs Debian with apt, curl and python3. Usage: findings/summary-of-quantiles-in-protobuf.sh
set -euo pipefail
folder=$(mktemp --directory)
pids=()
trap '((${#pids[@]})) && kill "${pids[@]}" 2>/dev/null; wait; rm --recursive --force "$folder"' EXIT
"$(dirname "$0")/../.ci/programs" "$folder/programs" forky prometheus:prometheus
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet 'protobuf==7.36.2'
cat >serve.py <<'END'
import http.server

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

F = descriptor_pb2.FieldDescriptorProto
file = descriptor_pb2.FileDescriptorProto(name="metrics.proto", package="io.prometheus.client", syntax="proto2")
file.enum_type.add(name="MetricType").value.add(name="SUMMARY", number=2)  # the first value is the default
for message, fields in {
    "Quantile": [("quantile", 1, F.TYPE_DOUBLE), ("value", 2, F.TYPE_DOUBLE)],
    "Summary": [("sample_count", 1, F.TYPE_UINT64), ("sample_sum", 2, F.TYPE_DOUBLE), ("quantile", 3, "Quantile")],
    "Metric": [("summary", 4, "Summary")],
    "MetricFamily": [("name", 1, F.TYPE_STRING), ("type", 3, "MetricType"), ("metric", 4, "Metric")],
}.items():
    declared = file.message_type.add(name=message)
    for name, number, kind in fields:
        repeated = name in ("quantile", "metric") and isinstance(kind, str)
        field = declared.field.add(name=name, number=number, label=F.LABEL_REPEATED if repeated else F.LABEL_OPTIONAL)
        if isinstance(kind, str):
            field.type = F.TYPE_ENUM if kind == "MetricType" else F.TYPE_MESSAGE
            field.type_name = f".io.prometheus.client.{kind}"
        else:
            field.type = kind
pool = descriptor_pool.DescriptorPool()
pool.AddSerializedFile(file.SerializeToString())
family = message_factory.GetMessageClass(pool.FindMessageTypeByName("io.prometheus.client.MetricFamily"))(name="x", type=2)
family.metric.add().summary.quantile.add(quantile=0.5, value=3)
message = family.SerializeToString()
PAGES = {
    "/protobuf": (
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
        bytes([len(message)]) + message,
    ),
    "/text": ("text/plain; version=0.0.4", b'# TYPE x summary\nx{quantile="0.5"} 3\n'),
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        kind, body = PAGES[self.path]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.HTTPServer(("127.0.0.1", 38432), Handler).serve_forever()
END
venv/bin/python serve.py &
pids+=($!)
own=127.0.0.1:38433
cat >prometheus.yml <<'END'
global: {scrape_interval: 1s}
scrape_configs:
  - {job_name: text, metrics_path: /text, static_configs: [{targets: ['127.0.0.1:38432']}]}
  - {job_name: protobuf, metrics_path: /protobuf, scrape_protocols: [PrometheusProto], static_configs: [{targets: ['127.0.0.1:38432']}]}
END
programs/prometheus --version | head --lines 1
programs/prometheus --config.file=prometheus.yml --storage.tsdb.path=data --web.listen-address=$own >prometheus.log 2>&1 &
pids+=($!)
names() { # JOB: the names and values of the series that begin with x
    curl --silent --fail --get "http://$own/api/v1/query" --data-urlencode "query={__name__=~\"x.*\", job=\"$1\"}" |
        venv/bin/python -c 'import json, sys
for one in sorted((o["metric"]["__name__"], o["value"][1]) for o in json.load(sys.stdin)["data"]["result"]):
    print(*one)'
}
for _ in {1..30}; do
    sleep 1
    [[ -n $(names text 2>/dev/null) && -n $(names protobuf 2>/dev/null) ]] && break
done
text=$(names text) protobuf=$(names protobuf)
printf 'text:\n%s\nprotobuf:\n%s\n' "$text" "$protobuf"
[[ $text == "x 3" ]] || { echo "text gives other series now"; exit 1; }
[[ $protobuf == $'x 3\nx_count 0\nx_sum 0' ]] || { echo "protobuf gives other series now"; exit 1; }
