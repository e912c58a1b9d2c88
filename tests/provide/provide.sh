#!/usr/bin/env bash
# Finds the programs that the tests and the demo need, and brings those that this machine lacks.
#
#   environment=$(tests/provide/provide.sh NAME...) && eval "$environment"
#
# A NAME is haproxy, haproxy-3.0, haproxy-next, openssl, nginx, apache2, hitch, h2o, exim4, dovecot, postfix (for postconf),
# caddy, lighttpd, redis, valkey, gnutls (for ocsptool, gnutls-cli and certtool), patch, strace, valgrind, promtool, chromium
# (without windows), python or faketime.
# What is printed sets PATH so that the programs are found, HAPROXY to the HAProxy binaries to test with, separated by commas,
# VALKEY to valkey-server, JUDGES_PYTHON to a Python that has the package cryptography and loads the libraries of OpenSSL and
# GnuTLS, and FAKETIME_LIB to the library that makes a program see another time. Modules of servers are beside bin, in the folder
# with the server's NAME.
#
# What is missing is unpacked from the distribution's packages (apt) under target/provided. Nothing is installed,
# enabled or started, no file outside target is written, and root and anybody else get the same. Where everything is
# there, nothing is fetched. haproxy-3.0 and valkey come from Debian 13 and haproxy-next from what Debian is testing (3.2, or
# newer), with libraries and loader of their own. What cannot be had is an error; with STAPLED_MAY_SKIP=1, of these three,
# only a warning.

set -euo pipefail

top=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
provided=${CARGO_TARGET_DIR:-$top/target}/provided
# Folders of administrators' programs are not on everybody's PATH.
for folder in /usr/local/sbin /usr/sbin /sbin; do
    [[ :$PATH: == *:"$folder":* ]] || PATH+=:$folder
done

say() { printf 'provide: %s\n' "$*" >&2; }
warn() { printf '\nprovide: WARNING: %s\n\n' "$*" >&2; }
fail() {
    printf 'provide: %s\n' "$*" >&2
    exit 1
}

# One of several HAProxys or Redis servers is missing: tests would pass without having been made with it.
go_without() {
    [[ ${STAPLED_MAY_SKIP:-} == 1 ]] || fail "$1 is not to be had here; STAPLED_MAY_SKIP=1 tests without it"
    warn "$1 is not to be had here: tests go on without it"
    [[ -z ${STAPLED_SKIPPED:-} ]] || printf 'all tests with %s: it is not to be had here\n' "$1" >>"$STAPLED_SKIPPED"
}

package_of() {
    case $1 in
    redis) echo redis-server ;;
    apache2) echo apache2-bin ;;
    # Exim does not start without a user of its own, which the library tells it of.
    exim4) echo exim4-daemon-light libnss-wrapper ;;
    dovecot) echo dovecot-imapd ;;
    lighttpd) echo lighttpd-mod-openssl ;;
    haproxy-3.0 | haproxy-next) echo haproxy ;;
    gnutls) echo gnutls-bin ;;
    promtool) echo prometheus ;;
    chromium) echo chromium-headless-shell ;;
    *) echo "$1" ;;
    esac
}

program_of() {
    case $1 in
    gnutls) echo ocsptool ;;
    postfix) echo postconf ;;
    promtool | apache2 | exim4 | dovecot | lighttpd) echo "$1" ;;
    *) package_of "$1" ;;
    esac
}

runs() {
    case $1 in
    */openssl | openssl | */caddy | caddy) "$1" version ;;
    */exim4 | exim4) "$1" -bV -C /dev/null ;;
    */postconf | postconf) "$1" -d -c /dev mail_version ;;
    */ocsptool | ocsptool | */gnutls-cli | gnutls-cli | */certtool | certtool | */patch | patch | */strace | strace | */valgrind | valgrind | */promtool | promtool | */chromium-headless-shell | \
        chromium-headless-shell | */hitch | hitch | */dovecot | dovecot)
        "$1" --version
        ;;
    *) "$1" -v ;;
    esac >/dev/null 2>&1
}

# Whether the Python $1 can ask all three: cryptography by import, OpenSSL and GnuTLS as shared libraries.
judges() {
    "$1" -c 'import ctypes, cryptography.x509.ocsp
ctypes.CDLL("libcrypto.so.3"), ctypes.CDLL("libgnutls.so.30")' >/dev/null 2>&1
}

# Runs apt with lists, caches and sources in the folder $1; whatever else the machine configures stays in force, but
# for what the machine does after an update, which is not ours to set off.
apt_in() {
    local folder=$1
    shift
    "$@" -c "$folder/apt.conf"
}

# Prepares the folder $1 for apt_in. $2 is the list of installed packages, $3 (optional) a file with the only source.
prepare_apt() {
    local folder=$1 status=$2 source=${3:-}
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    {
        echo "Dir::State \"$folder\";"
        echo "Dir::State::lists \"$folder/lists\";"
        echo "Dir::State::status \"$status\";"
        echo "Dir::Cache \"$folder/cache\";"
        echo "Dir::Log \"$folder\";"
        if [[ -n $source ]]; then
            echo "Dir::Etc::sourcelist \"$source\";"
            echo 'Dir::Etc::sourceparts "/dev/null";'
            echo 'Dir::Etc::preferencesparts "/dev/null";'
        fi
        # The user that apt becomes for downloads may not be able to write here.
        echo "APT::Sandbox::User \"$(id -un)\";"
        echo '#clear APT::Update::Pre-Invoke;'
        echo '#clear APT::Update::Post-Invoke;'
        echo '#clear APT::Update::Post-Invoke-Success;'
        echo 'Acquire::Languages "none";'
        echo 'Acquire::Retries "2";'
        echo 'Acquire::http::Timeout "30";'
        echo 'Acquire::https::Timeout "30";'
        echo 'APT::Get::AllowUnauthenticated "false";'
    } >"$folder/apt.conf"
}

# Fetches the lists of packages, once per run. A source of somebody else's that fails does no harm: what matters is
# whether the packages are found afterwards.
update() {
    local folder=$1
    [[ -e $folder/updated-$$ ]] && return
    rm -f "$folder"/updated-*
    apt_in "$folder" apt-get -q update >"$folder/update.log" 2>&1 || true
    touch "$folder/updated-$$"
}

# Unpacks into $2 the packages $3 and what they need and the system of the folder $1 lacks, as far as $4 matches it.
unpack() {
    local folder=$1 root=$2 pattern=$4 packages wanted
    read -ra wanted <<<"$3"
    apt_in "$folder" apt-get -s install --reinstall --no-install-recommends "${wanted[@]}" \
        >"$folder/resolve.log" 2>&1 || return 1
    mapfile -t packages < <(awk -v wanted=" $3 " -v pattern="$pattern" \
        '$1 == "Inst" && (index(wanted, " " $2 " ") || $2 ~ pattern) { print $2 }' "$folder/resolve.log")
    [[ ${#packages[@]} -gt 0 ]] || return 1
    rm -rf "$root" "$folder/debs"
    mkdir -p "$root" "$folder/debs"
    (cd "$folder/debs" && apt_in "$folder" apt-get -q download "${packages[@]}") >"$folder/download.log" 2>&1 || return 1
    local deb
    for deb in "$folder"/debs/*.deb; do
        dpkg-deb -x "$deb" "$root" || return 1
    done
    rm -rf "$folder/debs"
}

# The folders with libraries under a root, joined by colons.
libraries() {
    local root=$1 folder joined=
    for folder in "$root"/lib/*-linux-gnu* "$root"/usr/lib/*-linux-gnu* "$root"/usr/lib/*-linux-gnu*/pulseaudio "$root"/lib "$root"/usr/lib "$root"/usr/lib/{dovecot,postfix}; do
        [[ -d $folder ]] && joined+=${joined:+:}$folder
    done
    echo "$joined"
}

program_in() {
    local root=$1 program=$2 path
    # What Debian has in /usr/bin for Chromium starts the program of the system.
    for path in "$root"/usr/lib/chromium/"$program" "$root"/{usr/,}{sbin,bin}/"$program"; do
        [[ -x $path ]] && echo "$path" && return
    done
    return 1
}

# A program of this machine's own distribution: with the machine's loader, and libraries unpacked before installed.
# $2 is the program, where the package has several.
bring() {
    local name=$1 package program root folder path needed=. user group
    package=$(package_of "$name")
    # The program is static, and what the package needs besides is for its server.
    [[ $name != promtool ]] || needed='^prometheus$'
    program=${2:-$(program_of "$name")}
    root=$provided/$name
    folder=$provided/apt
    if runs "$provided/bin/$program"; then
        return
    fi
    command -v apt-get >/dev/null || fail "$program is missing; install it (there is no apt here to fetch it with)"
    say "$program is missing: unpacking it into ${root#"$top"/}"
    mkdir -p "$folder" "$provided/bin"
    prepare_apt "$folder" /var/lib/dpkg/status
    if ! program_in "$root" "$program" >/dev/null; then
        update "$folder"
        if ! unpack "$folder" "$root" "$package" "$needed"; then
            tail -n 5 "$folder"/*.log >&2 || true
            fail "cannot fetch the package $package"
        fi
    fi
    path=$(program_in "$root" "$program") || fail "the package $package holds no $program"
    {
        echo '#!/bin/sh'
        echo "LD_LIBRARY_PATH='$(libraries "$root")'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
        echo 'export LD_LIBRARY_PATH'
        if [[ $program == openssl ]]; then
            echo ": \"\${OPENSSL_CONF:=$root/etc/ssl/openssl.cnf}\""
            echo 'export OPENSSL_CONF'
        fi
        if [[ $program == valgrind ]]; then
            echo "export VALGRIND_LIB='$root/usr/libexec/valgrind'"
        fi
        if [[ $program == exim4 ]]; then
            # Not root, which exim refuses.
            ((EUID > 0)) && user=$(id -u) group=$(id -g) || user=65534 group=65534
            printf 'Debian-exim:x:%s:%s::/:/bin/false\n' "$user" "$group" | cat /etc/passwd - >"$root/passwd"
            printf 'Debian-exim:x:%s:\n' "$group" | cat /etc/group - >"$root/group"
            echo "export NSS_WRAPPER_PASSWD='$root/passwd' NSS_WRAPPER_GROUP='$root/group' LD_PRELOAD=libnss_wrapper.so"
        fi
        echo "exec '$path' \"\$@\""
    } >"$provided/bin/$program.new"
    chmod 755 "$provided/bin/$program.new"
    mv "$provided/bin/$program.new" "$provided/bin/$program"
    runs "$provided/bin/$program" || fail "$program, as unpacked, does not run: $("$provided/bin/$program" -v 2>&1)"
}

# A Python that can ask the judges: the machine's with the package cryptography beside it, or, where there is none, one
# that is unpacked as well. Prints its path.
bring_python() {
    local root=$provided/python folder=$provided/apt wrapper=$provided/bin/judges-python python home= libraries=
    local unpacked
    if judges "$wrapper"; then
        echo "$wrapper"
        return
    fi
    command -v apt-get >/dev/null || fail "python3 with the package cryptography is missing; install it"
    say "python3 with cryptography is missing: unpacking it into ${root#"$top"/}"
    mkdir -p "$folder" "$provided/bin"
    prepare_apt "$folder" /var/lib/dpkg/status
    update "$folder"
    if ! unpack "$folder" "$root" python3-cryptography '.'; then
        tail -n 5 "$folder"/*.log >&2 || true
        fail "cannot fetch the package python3-cryptography"
    fi
    # Compiled parts of Debian's packages fit Debian's Python.
    python=/usr/bin/python3
    if ! "$python" -c '' 2>/dev/null; then
        python=$(program_in "$root" python3) || fail "the package python3 holds no python3"
        home="export PYTHONHOME='$root/usr'"
    fi
    for unpacked in "$provided"/{python,openssl,gnutls}; do
        [[ ! -d $unpacked ]] || libraries+=${libraries:+:}$(libraries "$unpacked")
    done
    {
        echo '#!/bin/sh'
        echo "export LD_LIBRARY_PATH='$libraries' PYTHONPATH='$root/usr/lib/python3/dist-packages'"
        echo "$home"
        echo "exec '$python' \"\$@\""
    } >"$wrapper.new"
    chmod 755 "$wrapper.new"
    mv "$wrapper.new" "$wrapper"
    judges "$wrapper" || fail "python3, as unpacked, cannot ask the judges: $("$wrapper" -c 'import cryptography.x509.ocsp' 2>&1)"
    echo "$wrapper"
}

# The library of libfaketime for programs with threads, installed or unpacked here. Prints its path.
faketime_there() {
    local candidate
    for candidate in /usr/lib/*-linux-gnu*/faketime/libfaketimeMT.so.1 \
        "$provided"/faketime/usr/lib/*-linux-gnu*/faketime/libfaketimeMT.so.1; do
        [[ -e $candidate ]] && echo "$candidate" && return
    done
    return 1
}

bring_faketime() {
    local root=$provided/faketime folder=$provided/apt
    faketime_there && return
    command -v apt-get >/dev/null || fail "libfaketime is missing; install it (there is no apt here to fetch it with)"
    say "libfaketime is missing: unpacking it into ${root#"$top"/}"
    mkdir -p "$folder"
    prepare_apt "$folder" /var/lib/dpkg/status
    update "$folder"
    if ! unpack "$folder" "$root" libfaketime '^libfaketime$'; then
        tail -n 5 "$folder"/*.log >&2 || true
        fail "cannot fetch the package libfaketime"
    fi
    faketime_there || fail "the package libfaketime holds no library for programs with threads"
}

# The package $3 with its program $4 from another release of Debian, $2, as $1, with its own loader and C library: those of this
# machine may be too old for it. Prints the path of what runs it.
bring_of() {
    local name=$1 suite=$2 package=$3 program=$4 home=$provided/$1 mirror loader path
    local folder=$home/apt root=$home/root wrapper=$home/$4 keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    if runs "$wrapper"; then
        echo "$wrapper"
        return
    fi
    command -v apt-get >/dev/null || return 1
    say "unpacking $package of Debian's $suite into ${home#"$top"/}"
    mkdir -p "$folder" "$provided/apt"
    # The mirror is the one this machine is set up with.
    prepare_apt "$provided/apt" /var/lib/dpkg/status
    update "$provided/apt"
    mirror=$(apt_in "$provided/apt" apt-get indextargets --format "\$(ORIGIN)|\$(LABEL)|\$(COMPONENT)|\$(REPO_URI)" \
        'Created-By: Packages' | awk -F'|' '$1 == "Debian" && $2 == "Debian" && $3 == "main" { print $4; exit }')
    [[ -n $mirror ]] || return 1
    {
        printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$mirror" "$suite"
        [[ ! -e $keyring ]] || printf 'Signed-By: %s\n' "$keyring"
    } >"$folder/$suite.sources"
    # Nothing of that release is installed: all its libraries are brought, and no other package.
    : >"$folder/status"
    prepare_apt "$folder" "$folder/status" "$folder/$suite.sources"
    update "$folder"
    unpack "$folder" "$root" "$package" '^(lib|zlib1g|valkey-tools)' || return 1
    loader=$(find "$root" -name 'ld-linux*.so.*' -path '*-linux-gnu*' | head -n 1)
    path=$(program_in "$root" "$program") || return 1
    [[ -n $loader ]] || return 1
    # The master re-executes what it was called as on every reload: with --argv0 that is this file, not the loader.
    {
        echo '#!/bin/sh'
        echo "exec '$loader' --argv0 '$wrapper' --library-path '$(libraries "$root")' '$path' \"\$@\""
    } >"$wrapper.new"
    chmod 755 "$wrapper.new"
    mv "$wrapper.new" "$wrapper"
    runs "$wrapper" || return 1
    echo "$wrapper"
}

[[ $# -gt 0 ]] || fail "usage: provide.sh haproxy|haproxy-3.0|haproxy-next|openssl|nginx|apache2|hitch|h2o|exim4|dovecot|postfix|caddy|lighttpd|redis|valkey|gnutls|patch|strace|valgrind|promtool|chromium|python|faketime ..."
mkdir -p "$provided"
provided=$(cd -- "$provided" && pwd)
# Two runs at once take turns.
exec 9>"$provided/.lock"
flock 9

haproxies=() valkey= python= faketime=
for name in "$@"; do
    case $name in
    haproxy | openssl | nginx | apache2 | hitch | h2o | exim4 | dovecot | postfix | caddy | lighttpd | redis | gnutls | patch | strace | valgrind | promtool | chromium)
        program=$(program_of "$name")
        if ! runs "$program"; then
            bring "$name" 9>&-
            [[ :$PATH: == *:"$provided/bin":* ]] || PATH=$provided/bin:$PATH
        fi
        for program in gnutls-cli certtool; do
            [[ $name == gnutls ]] && ! runs "$program" || continue
            bring "$name" "$program" 9>&-
            [[ :$PATH: == *:"$provided/bin":* ]] || PATH=$provided/bin:$PATH
        done
        [[ $name != haproxy ]] || haproxies+=("$(command -v haproxy)")
        ;;
    haproxy-3.0)
        if [[ $(haproxy -v 2>/dev/null) == *"version 3.0"* ]]; then
            say "the haproxy found first is 3.0 already"
        elif path=$(bring_of "$name" trixie haproxy haproxy 9>&-); then
            haproxies+=("$path")
        else
            go_without 'HAProxy 3.0'
        fi
        ;;
    haproxy-next)
        if path=$(bring_of "$name" testing haproxy haproxy 9>&-); then
            haproxies+=("$path")
        else
            go_without 'HAProxy of the next Debian'
        fi
        ;;
    valkey)
        valkey=$(bring_of "$name" trixie valkey-server valkey-server 9>&-) || go_without 'Valkey'
        ;;
    python)
        for candidate in python3 /usr/bin/python3; do
            if judges "$candidate"; then
                python=$(command -v "$candidate")
                break
            fi
        done
        [[ -n $python ]] || python=$(bring_python 9>&-)
        ;;
    faketime) faketime=$(bring_faketime 9>&-) ;;
    *) fail "don't know how to bring $name" ;;
    esac
done

printf 'export PATH=%q\n' "$PATH"
if [[ ${#haproxies[@]} -gt 0 ]]; then
    printf 'export HAPROXY=%q\n' "$(
        IFS=,
        echo "${haproxies[*]}"
    )"
fi
if [[ -n $valkey ]]; then
    printf 'export VALKEY=%q\n' "$valkey"
fi
if [[ -n $python ]]; then
    printf 'export JUDGES_PYTHON=%q\n' "$python"
fi
if [[ -n $faketime ]]; then
    printf 'export FAKETIME_LIB=%q\n' "$faketime"
fi
