#!/usr/bin/env bash
# prometheus_client 0.26.0 counts the quotes of an exemplar without a look at what escapes them: a label value with one
# escaped quote, which OpenMetrics 1.0 allows ("Exemplars", escaped-string), is refused, and with it the whole page; with
# two it is read. In a sample's labels one is read as well. Run names such as 5" have one.
# Seen: ValueError "Invalid line" for one escaped quote in an exemplar, nothing for two, nothing for one in a sample.
# Source: prometheus_client/openmetrics/parser.py. Usage: findings/exemplar-with-a-quote.sh
set -euo pipefail
folder=$(mktemp --directory)
trap 'rm --recursive --force "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'prometheus_client==0.26.0'
"$folder/venv/bin/python" - <<'END'
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read


def outcome(app):
    page = f'# TYPE a histogram\na_bucket{{le="+Inf"}} 1 # {{app="{app}"}} 1.0\na_count 1\na_sum 1.0\n# EOF\n'
    try:
        (family,) = read(page)
    except ValueError as error:
        return str(error)[:12]
    return family.samples[0].exemplar.labels["app"]


(family,) = read('# TYPE b gauge\nb{app="5\\""} 1\n# EOF\n')
seen = family.samples[0].labels["app"], outcome('5\\"'), outcome('\\"5\\"')
print("one in a sample: {}; one in an exemplar: {}; two in an exemplar: {}".format(*seen))
raise SystemExit(seen != ('5"', "Invalid line", '"5"'))
END
