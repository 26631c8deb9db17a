#!/usr/bin/env bash
# Prometheus 3.5 sends remote write 2.0 to VictoriaMetrics 1.145 (both out of Debian forky's packages): every request is
# answered with success and counted without an error, and no sample is stored. Prometheus notices only because the
# answer lacks the headers that 2.0 asks for, and counts the samples as failed. With 1.0 all of them arrive.
# Seen: 2.0: vm_rows_inserted_total 0, vm_http_request_errors_total 0, all samples failed. 1.0: rows inserted, none failed.
# Source: the Remote-Write 2.0 specification (X-Prometheus-Remote-Write-Samples-Written); a receiver that does not know the
# message should answer 415. Needs Debian with apt, curl and awk. Usage: findings/remote-write-2-to-victoriametrics.sh
set -euo pipefail
folder=$(mktemp --directory)
pids=()
trap '((${#pids[@]})) && kill "${pids[@]}" 2>/dev/null; wait; rm --recursive --force "$folder"' EXIT
"$(dirname "$0")/../.ci/programs" "$folder/programs" forky prometheus:prometheus victoria-metrics:victoria-metrics
cd "$folder"
programs/prometheus --version | head --lines 1

store=127.0.0.1:38428 own=127.0.0.1:39090
programs/victoria-metrics -storageDataPath=store -httpListenAddr=$store >store.log 2>&1 &
pids+=($!)

# value PAGE NAME: the sum of the series that begin so
value() {
    curl --silent --fail "http://$1/metrics" | awk -v name="$2" 'index($0, name) == 1 { sum += $NF } END { print sum + 0 }'
}

send() { # MESSAGE: Prometheus scrapes itself and writes on for a while
    printf '%s\n' 'global: {scrape_interval: 1s}' \
        "scrape_configs: [{job_name: own, static_configs: [{targets: ['$own']}]}]" \
        "remote_write: [{url: 'http://$store/api/v1/write', protobuf_message: $1, queue_config: {batch_send_deadline: 1s}}]" \
        >prometheus.yml
    programs/prometheus --config.file=prometheus.yml --storage.tsdb.path="data-$1" --web.listen-address=$own >"$1.log" 2>&1 &
    local pid=$!
    pids+=("$pid")
    for _ in {1..60}; do
        sleep 1
        sent=$(value $own prometheus_remote_storage_samples_total || echo 0)
        ((${sent%.*} > 500)) && break
    done
    sleep 2
    failed=$(value $own prometheus_remote_storage_samples_failed_total)
    { kill "$pid" && wait "$pid"; } || true
    stored=$(value $store 'vm_rows_inserted_total{type="promremotewrite"')
    errors=$(value $store 'vm_http_request_errors_total{path="/api/v1/write", protocol="promremotewrite"')
    echo "$1: sent $sent, failed $failed; the store: $stored rows, $errors errors"
}

send io.prometheus.write.v2.Request
[[ $stored == 0 && $errors == 0 && $failed != 0 ]] || { echo "remote write 2.0 is no longer lost in silence"; exit 1; }
send prometheus.WriteRequest
[[ $stored != 0 && $errors == 0 && $failed == 0 ]] || { echo "remote write 1.0 no longer arrives"; exit 1; }
