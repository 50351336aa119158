#!/bin/sh
# What 10,000 checked servers cost: CPU of the control thread and of the process, and how even the
# checks are. Servers are 10,000 loopback addresses at one port, where another Evenkeel answers.
#   bench/checks.sh BINARY [http|tcp] [SECONDS]
set -eu
binary=$1 kind=${2:-http} seconds=${3:-60}
place=$(mktemp -d)
port=$(( 20000 + $$ % 20000 ))
trap 'kill $server $balancer 2>/dev/null; rm -rf "$place"' EXIT

cat >"$place/server.yaml" <<END
admin: { bind: off }
workers: 1
listeners: { web: { bind: "0.0.0.0:$port" } }
routes: [{ respond: { status: 200, body: ok } }]
END
{
	echo "admin: { bind: off }"
	echo "listeners: { web: { bind: 127.0.0.1:0 } }"
	echo "routes: [{ to: app }]"
	echo "pools:"
	echo "  app:"
	case $kind in
	http) echo "    health: /" ;;
	*) echo "    health: $kind" ;;
	esac
	echo "    servers:"
	for a in $(seq 1 40); do
		for b in $(seq 1 250); do echo "      - 127.1.$a.$b:$port"; done
	done
} >"$place/balancer.yaml"

"$binary" run -c "$place/server.yaml" 2>"$place/server.log" & server=$!
"$binary" run -c "$place/balancer.yaml" 2>"$place/balancer.log" & balancer=$!
sleep 12 # starting, and the first round

# utime + stime of a thread, in ticks (proc(5)).
ticks() { sed 's/.*) //' "$1" | awk '{ print $12 + $13 }'; }
control=$(grep -l '^control$' /proc/$balancer/task/*/comm | head -1)
control=${control%/comm}
connections() { awk '/^Tcp: [0-9]/ { print $6 }' /proc/net/snmp; }

process_before=$(ticks /proc/$balancer/stat) control_before=$(ticks "$control/stat")
opened_before=$(connections)
least=999999 most=0 last=$opened_before
for second in $(seq 1 "$seconds"); do
	sleep 1
	now=$(connections)
	made=$((now - last)) last=$now
	[ "$made" -lt "$least" ] && least=$made
	[ "$made" -gt "$most" ] && most=$made
done
hertz=$(getconf CLK_TCK)
per() { echo "$1 $2 $hertz $seconds" | awk '{ printf "%.1f %% of a core", ($2 - $1) * 100 / $3 / $4 }'; }
echo "$kind, 10,000 servers: $(( (last - opened_before) / seconds )) connections opened a second ($least to $most)"
echo "control thread: $(per "$control_before" "$(ticks "$control/stat")")"
echo "whole process:  $(per "$process_before" "$(ticks /proc/$balancer/stat)")"
echo "found down: $(grep -c 'to="down"' "$place/balancer.log" || true)"
grep -E 'could not|ERROR' "$place/balancer.log" | head -3 || true
