#!/usr/bin/env bash
# A recording rule that reads its own last value, else begins anew (`last_over_time(own[1h]) or vector(1)`), works in
# Prometheus with external labels: its own storage never has them. Under vmalert 1.145 with -external.label it works once
# and then fails at every evaluation, for the value that it reads back carries the label and vector(1) does not: both
# sides of the `or` are given, and are one series when the label has been added. `max(last_over_time(...))` helps.
# Seen: "result contains metrics with the same labelset during evaluation" for the rule `own`, nothing for `aggregated`.
# Needs Debian with apt and curl. Usage: findings/vmalert-own-last-value.sh
set -euo pipefail
folder=$(mktemp --directory)
pids=()
trap '((${#pids[@]})) && kill "${pids[@]}" 2>/dev/null; wait; rm --recursive --force "$folder"' EXIT
"$(dirname "$0")/../.ci/programs" "$folder/programs" forky vmalert:victoria-metrics victoria-metrics:victoria-metrics
cd "$folder"
store=127.0.0.1:38430 alerting=127.0.0.1:38431
cat >rules.yml <<'RULES'
groups:
  - name: group
    interval: 1s
    rules:
      - {record: own, expr: "last_over_time(own[1h]) or vector(1)"}
      - {record: aggregated, expr: "max(last_over_time(aggregated[1h])) or vector(1)"}
RULES
programs/victoria-metrics -storageDataPath=store -httpListenAddr=$store -search.latencyOffset=0s >store.log 2>&1 &
pids+=($!)
sleep 2
programs/vmalert -rule=rules.yml -datasource.url=http://$store -remoteWrite.url=http://$store -notifier.blackhole \
    -rule.evalDelay=0s -external.label=cluster=here -httpListenAddr=$alerting >vmalert.log 2>&1 &
pids+=($!)
for _ in {1..30}; do
    sleep 1
    grep --quiet 'rule "own": failed' vmalert.log && break
done
sleep 3
grep --only-matching 'rule "own": failed\|with the same labelset' vmalert.log | sort --unique
grep --quiet 'rule "own": failed.*with the same labelset' vmalert.log || { echo "vmalert takes the rule now"; exit 1; }
! grep --quiet 'rule "aggregated": failed' vmalert.log || { echo "the aggregated rule fails as well"; exit 1; }
