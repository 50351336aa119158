#!/usr/bin/env bash
# No stray 502: 200,000 requests through Evenkeel with its defaults, while two backends close every
# idle connection after a random time between 0 and 5 ms. Nothing is retried by the client; ends with
# status 0 only if every request got its own answer. `METHOD=POST` shows what cannot be repeated.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --quiet --package evenkeel --package evenkeel-tools
bin="${CARGO_TARGET_DIR:-target}/release"
"$bin/faultd" --listen 127.0.0.1:42201 --listen 127.0.0.1:42202 --idle-close 0..5000 >/dev/null &
backend=$!
"$bin/evenkeel" run --listen 127.0.0.1:42200 --to 127.0.0.1:42201 --to 127.0.0.1:42202 --log-level warn &
proxy=$!
trap 'kill $backend $proxy 2>/dev/null || true' EXIT
until (exec 3<>/dev/tcp/127.0.0.1/42200) 2>/dev/null; do sleep 0.05; done
kill -0 $backend $proxy # both are ours: no other process holds their ports
"$bin/strictload" --url http://127.0.0.1:42200/echo --requests "${REQUESTS:-200000}" --seconds 300 \
  --connections 32 --rate "${RATE:-12000}" --method "${METHOD:-GET}"
