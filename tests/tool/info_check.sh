#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# weir info, weir check and the parts that all commands share.
# info_check.sh WEIR
. "$(dirname "$0")/lib.sh"

# run CODE ARGUMENT...: output in $DIR/out, errors in $DIR/err.
run() {
	local code=$1 rc

	shift
	begin "weir $*"
	timeout $LIMIT "$WEIR" "$@" </dev/null >"$DIR/out" 2>"$DIR/err"
	rc=$?
	equal 'exit code' "$code" "$rc"
}

# json EXPRESSION: true of the output, read as JSON into j.
json() {
	python3 - "$DIR/out" "$1" <<'PY' || fail "$CASE: not so: $1"
import json
import sys
j = json.load(open(sys.argv[1]))
sys.exit(not eval(sys.argv[2]))
PY
}

has() {
	grep -Eq -- "$1" "$DIR/out" || fail "$CASE: no '$1' in: $(cat "$DIR/out")"
}

quiet() {
	equal 'stderr' '' "$(cat "$DIR/err")"
}

run 0 --version
has '^weir [0-9]+\.[0-9]+\.[0-9]+$'
quiet
for command in '' info check cat; do
	# shellcheck disable=SC2086
	run 0 $command --help
	has "^usage: weir ${command:-.OPTION}"
	has '--hugepages'
	quiet
done

run 0 info
has '^driver +shm:'
has '^driver +mem:'
has 'trusted, cooperating peers'
quiet
run 0 info -J
json 'j["schema"] == "weir.info/1"'
json '{d["scheme"] for d in j["drivers"]} >= {"mem", "shm", "dpdk"}'
json 'j["limits"]["message_size_max"] == 16777216'
json 'all(d["available"] or ";" in d["reason"] for d in j["drivers"])'
quiet

run 0 check
has '^(ok|warn)  +clock .*GHz'
has '^(ok|warn)  +cpus '
has ' numa '
has ' hugepages '
has ' memlock '
has ' runtime '
quiet
for scheme in mem shm; do
	run 0 check $scheme:
	has "^ok +endpoint +$scheme: opens in [0-9]+ ms"
	has '^ok +link +1000 messages to ourselves, [0-9]+ ns each'
	quiet
done
run 0 check shm: -J
json 'j["schema"] == "weir.check/1" and j["ready"] is True'
json 'all(f["state"] in ("ok", "info", "warn") for f in j["findings"])'
json 'any(f["name"] == "link" and f["state"] == "ok" for f in j["findings"])'
quiet

begin 'check sees a listener'
background far cat -v -l "shm:$NAME" </dev/null
listening far
run 0 check "shm:$NAME"
has '^info +address +somebody listens'
kill -INT "${PIDS[far]}"
ended far 130

no_leak_check
begin 'check needs an interface that is there'
if "$WEIR" check dpdk: 2>/dev/null | grep -q 'endpoint'; then
	run 3 check dpdk:10.9.9.1:7400,dev=net_af_packet0,dev.iface=weir-none
	has '^fail +interface +weir-none: there is none here'
	run 3 check -D n=net_af_packet0,iface=weir-none dpdk:10.9.9.1:7400,dev=n
	has '^fail +interface +weir-none: there is none here'
	run 3 check dpdk:10.9.9.1:7400,dev=ffff:ff:1f.7
	has '^fail +device +ffff:ff:1f.7: no such PCI device'
else
	echo '  (skipped: no dpdk driver here)'
fi

begin 'options before the command count too'
run 0 -q check shm:
equal 'output without warnings' '' "$(grep -E '^(ok|info)' "$DIR/out")"

nothing_left
finish
