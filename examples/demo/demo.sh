#!/usr/bin/env bash
# The whole story in a minute: a certificate authority, HAProxy with three certificates, and stapled between them.
#
# Runs on loopback, in a temporary directory, and leaves nothing behind. Ends with an error as soon as something differs from
# what the text says. HAProxy and OpenSSL are unpacked under target/ where they are missing; nothing is installed.

set -euo pipefail

top=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
cd -- "$top"

# --- Output ----------------------------------------------------------------------------------------------------

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' yellow=$'\e[33m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' green='' yellow='' red='' plain=''
fi

step='preparing'
step() {
    step=$1
    printf '\n%s%s%s\n' "$bold" "$1" "$plain"
}
say() { printf '%s\n' "$@"; }
show() { sed "s/^/    $dim/; s/\$/$plain/"; }

fail() {
    trap - ERR
    printf '\n%sThe demo failed at "%s": %s%s\n' "$red" "$step" "$*" "$plain" >&2
    local log
    for log in "$work"/*.log "$work"/one-off "$work"/handshake; do
        [[ -s $log ]] || continue
        printf -- '--- %s\n' "${log##*/}" >&2
        tail -n 30 "$log" | cut -c 1-400 >&2
    done
    exit 1
}

# --- Cleaning up ------------------------------------------------------------------------------------

work=$(mktemp -d "${TMPDIR:-/tmp}/stapled-demo.XXXXXX")
processes=()
leave() {
    local process
    kill "${processes[@]}" 2>/dev/null || true
    for process in "${processes[@]}"; do
        # A process that has not ended after three seconds is killed.
        for _ in {1..30}; do
            kill -0 "$process" 2>/dev/null || continue 2
            sleep 0.1
        done
        kill -KILL "$process" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

# start NAME COMMAND...: in the background, its output into NAME.log.
start() {
    local name=$1
    shift
    "$@" >>"$work/$name.log" 2>&1 &
    processes+=($!)
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS < deadline)) || fail "$what did not happen in time"
        sleep 0.2
    done
}

# --- What a TLS client sees ------------------------------------------------------------------------------------------

port=
names=(rsa.demo.test ecdsa.demo.test must-staple.demo.test)

# A handshake that asks for a staple; the certificate itself is verified against the root.
handshake() {
    timeout 10 openssl s_client -connect "127.0.0.1:$port" -servername "$1" -status -verify_return_error \
        -CAfile "$work/root/ca.crt" </dev/null >"$work/handshake" 2>&1 || return 1
    grep -q 'Verify return code: 0 (ok)' "$work/handshake"
}
field() { sed -n "s/^ *$1: *//p" "$work/handshake" | head -n 1; }
is_good() { [[ $(field 'Cert Status') == good ]]; }
is_bare() { grep -q 'OCSP response: no response sent' "$work/handshake"; }

has_staple() { handshake "$1" && is_good; }
has_none() { handshake "$1" && is_bare; }

# One line for one handshake.
report() {
    handshake "$1" || fail "the handshake with $1"
    if is_good; then
        printf '    %-24s %sstaple: good%s, signed %s, valid until %s\n' "$1" "$green" "$plain" \
            "$(clock "$(field 'Produced At')")" "$(clock "$(field 'Next Update')")"
    elif is_bare; then
        printf '    %-24s %sno staple%s\n' "$1" "$yellow" "$plain"
    else
        fail "$1 staples something that is not good"
    fi
}
clock() { grep -oE '[0-9]{2}:[0-9]{2}:[0-9]{2}' <<<"$1"; }

# --- The demo --------------------------------------------------------------------------------------------------------

environment=$(tests/provide/provide.sh haproxy openssl)
eval "$environment"
# DEMO_PROGRAMS names a folder that has the programs already.
if [[ -z ${DEMO_PROGRAMS:-} ]]; then
    cargo build --release -p stapled-bin -p stapled-ca
    DEMO_PROGRAMS=${CARGO_TARGET_DIR:-target}/release
fi
# By links: the folder may hold other programs with names that the demo uses, such as the examples.
mkdir "$work/bin"
for program in stapled stapled-ca stapled-ca-lab; do
    ln -s "$(cd -- "$DEMO_PROGRAMS" && pwd)/$program" "$work/bin/$program"
done
PATH=$work/bin:$PATH
began=$SECONDS

step '1. A certificate authority'
say 'A private CA: a root, an authority under it, and an OCSP responder with a key of its own. Asked about a' \
    'certificate, the responder answers with a signed "good" or "revoked". Here an answer is fresh for some seconds' \
    'only, so that you can watch it being renewed; with a real CA it is days.'
mkdir "$work/certs"
{
    stapled-ca root "$work/root" --name 'Demo Root'
    stapled-ca intermediate "$work/ca" --parent "$work/root" --name 'Demo CA'
    stapled-ca responder "$work/ca" --name 'Demo OCSP responder'
} >>"$work/authority.log" 2>&1
# HAProxy staples a response until 300 s before its end: 320 s are 20 s of use.
start responder stapled-ca serve --dir "$work/ca" --delegate --nonce --listen 127.0.0.1:0 \
    --validity 320 --backdate 0
responder_url() { url=$(grep -oE 'http://127\.0\.0\.1:[0-9]+/?' "$work/responder.log" 2>/dev/null | head -n 1) && [[ -n $url ]]; }
wait_for 10 'the start of the OCSP responder' responder_url
issue() {
    local name=$1
    shift
    stapled-ca issue --dir "$work/ca" --out "$work/certs/$name.pem" --san "$name" --ocsp-url "$url" "$@" \
        >>"$work/authority.log" 2>&1
}
issue rsa.demo.test --key rsa2048
issue ecdsa.demo.test --key p256
issue must-staple.demo.test --key p256 --must-staple
stapled-ca ledger list --dir "$work/ca" | sed -E 's/^([0-9A-F]{8})[0-9A-F]*/\1…/' | show

step '2. HAProxy without stapled'
say 'HAProxy starts with three certificates. A client asks for a staple of each, the proof that the certificate is not' \
    'revoked, and gets none. Most clients continue without one; they would accept a stolen certificate, too. The third' \
    'certificate says "must staple": clients that follow it refuse this server.'
start_haproxy() {
    local pid
    # Any port above the ones that services have and below the ones that clients get.
    port=$((20000 + RANDOM % 12000))
    cat >"$work/haproxy.cfg" <<-END
	global
	    stats socket $work/admin.sock level admin
	defaults
	    mode http
	    timeout client 10s
	    timeout server 10s
	    timeout connect 10s
	frontend demo
	    bind 127.0.0.1:$port ssl crt $work/certs
	    http-request return status 200 content-type text/plain string "hello"
	END
    start haproxy haproxy -db -f "$work/haproxy.cfg"
    pid=${processes[-1]}
    until handshake "${names[0]}"; do
        kill -0 "$pid" 2>/dev/null || return 1
        ((SECONDS - began < 30)) || return 1
        sleep 0.1
    done
}
start_haproxy || start_haproxy || start_haproxy || fail 'HAProxy does not start'
for name in "${names[@]}"; do
    has_none "$name" || fail "$name has a staple before stapled runs"
    report "$name"
done

step '3. stapled starts'
say 'stapled finds the certificates, asks the CA about each, verifies the answers and sends them to the running HAProxy' \
    'over its admin socket. HAProxy is neither restarted nor reloaded. The configuration file of stapled:'
cat >"$work/stapled.conf" <<END
cert-paths = "$work/certs"
haproxy-sockets = "$work/admin.sock"
# For this CA only, because its answers are valid for seconds: each answer is signed anew, and stapled asks often.
nonce = true
minimum-interval = 2
END
show <"$work/stapled.conf"
start stapled stapled --config "$work/stapled.conf"
stapled=${processes[-1]}
for name in "${names[@]}"; do
    wait_for 15 "a staple for $name" has_staple "$name"
    report "$name"
done
say 'Each handshake now carries a fresh staple, and no client has to ask the CA itself.'

step '4. Renewal'
name=${names[1]}
say "A staple is valid for a limited time. stapled renews it before its end. The staple of $name, before and after:"
report "$name"
first=$(field 'Produced At')
handshakes=0
deadline=$((SECONDS + 25))
until [[ $(field 'Produced At') != "$first" ]]; do
    ((SECONDS < deadline)) || fail "the staple of $name was not renewed"
    sleep 0.3
    handshake "$name" || fail "a handshake with $name"
    is_good || fail "$name had no staple before its renewal"
    ((handshakes += 1))
done
report "$name"
say "Between the two were $handshakes handshakes; every one had a staple."

step '5. Revocation'
name=${names[2]}
say "Suppose that the key of $name was stolen. Its owner has the certificate revoked:"
stapled-ca revoke --dir "$work/ca" "$work/certs/$name.pem" --reason keyCompromise 2>&1 |
    sed -E 's/^([0-9A-F]{8})[0-9A-F]*/\1…/' | show
say 'stapled learns this when it asks again. It withdraws the staple, so that the server sends neither an old "good" nor' \
    'a "revoked", and reports this to the operator.'
wait_for 25 "the withdrawal of the staple of $name" has_none "$name"
reported() {
    grep -E 'REVOKED|withdrawn from .*admin\.sock' "$work/stapled.log" >"$work/revoked"
    [[ $(wc -l <"$work/revoked") -ge 2 ]]
}
wait_for 5 'the report of the revocation in the log' reported
say 'The log:'
sed "s/ event=.*//; s:$work/::g" "$work/revoked" | head -n 2 | show
say 'The handshakes of clients:'
for name in "${names[@]}"; do
    report "$name"
done
has_none "${names[2]}" || fail "${names[2]} is revoked and has a staple"
for name in "${names[@]:0:2}"; do
    has_staple "$name" || fail "$name lost its staple"
done

step '6. Once, from cron'
say 'The daemon is stopped. With --one-off, stapled does everything that is due once, and ends. The exit code says the' \
    'result: 3 means that a certificate is revoked.'
code=0
kill "$stapled"
wait "$stapled" || code=$?
[[ $code == 0 ]] || fail "stapled, told to stop, ended with $code"
stapled --config "$work/stapled.conf" --one-off >"$work/one-off" 2>"$work/one-off.log" || code=$?
sed "s/ *\$//" "$work/one-off" | show
[[ $code == 3 ]] || fail "stapled --one-off ended with $code"
say "Exit code: $code"

printf '\n%sThe demo took %d seconds.%s It has removed all its files.\n' "$bold" $((SECONDS - began)) "$plain"
