#!/usr/bin/env bash
# Makes the responses of this folder with OpenSSL 3: algorithms that stapled-ca does not sign with, and for which
# another program's word is worth more anyway. Each file has a CA, a certificate of its and a response about it.
#
#   stapled-core/tests/algorithms/make.sh

set -euo pipefail
folder=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd "$work"

# make NAME "KEY OPTIONS" "OPTIONS OF THE CERTIFICATES' SIGNATURES" "OPTIONS OF THE RESPONSE'S SIGNATURE" [FURTHER ACCESS]
make() {
    local name=$1 key=$2 certified=$3 signed=$4
    # shellcheck disable=SC2086 # each is several words
    {
        openssl genpkey $key -out ca.key
        openssl req -x509 -new -key ca.key $certified -days 36500 -subj "/CN=Signs with $name" -out ca.pem \
            -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,digitalSignature'
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out leaf.key
        openssl req -new -key leaf.key -subj /CN=leaf.test -out leaf.csr
        printf 'basicConstraints=CA:FALSE\nauthorityInfoAccess=OCSP;URI:http://ocsp.test/%s\n' "${5:-}" >extensions
        openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key $certified -set_serial 4660 -days 36500 \
            -extfile extensions -out leaf.pem
        printf 'V\t99991231235959Z\t\t1234\tunknown\t/CN=leaf.test\n' >index
        openssl ocsp -issuer ca.pem -cert leaf.pem -no_nonce -reqout request
        openssl ocsp -index index -CA ca.pem -rsigner ca.pem -rkey ca.key -resp_key_id -ndays 36500 $signed \
            -reqin request -respout response
    } >log 2>&1 || { cat log >&2; exit 1; }
    {
        openssl x509 -in ca.pem
        openssl x509 -in leaf.pem
        echo '-----BEGIN OCSP RESPONSE-----'
        openssl base64 -in response
        echo '-----END OCSP RESPONSE-----'
    } >"$folder/$name.pem"
}

ec() { echo "-algorithm EC -pkeyopt ec_paramgen_curve:$1"; }
rsa() { echo "-algorithm RSA -pkeyopt rsa_keygen_bits:$1"; }
pss='-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest'
response_pss='-rsigopt rsa_padding_mode:pss -rsigopt rsa_pss_saltlen:digest'
pss_key() { echo "-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 $*"; }
restricted='-pkeyopt rsa_pss_keygen_md:sha256 -pkeyopt rsa_pss_keygen_mgf1_md:sha256 -pkeyopt rsa_pss_keygen_saltlen:32'

make ecdsa-p256-sha1 "$(ec P-256)" -sha256 '-rmd sha1'
make ecdsa-p384-sha1 "$(ec P-384)" -sha384 '-rmd sha1'
make ecdsa-p521-sha1 "$(ec P-521)" -sha512 '-rmd sha1'
make ecdsa-p384-sha1-certified "$(ec P-384)" -sha1 '-rmd sha384'
make ecdsa-p256-sha224 "$(ec P-256)" -sha256 '-rmd sha224'
make ecdsa-p256-sha512 "$(ec P-256)" -sha256 '-rmd sha512'
make ecdsa-p384-sha256 "$(ec P-384)" -sha384 '-rmd sha256'
make ecdsa-p521-sha256 "$(ec P-521)" -sha512 '-rmd sha256'
make ecdsa-p224-sha256 "$(ec P-224)" -sha256 '-rmd sha256'
make ecdsa-secp256k1-sha256 "$(ec secp256k1)" -sha256 '-rmd sha256'
make ed448 '-algorithm ED448' '' ''
make ed448-elsewhere '-algorithm ED448' '' '' ',caIssuers;URI:http://ca.test/ca.crt'
make rsa1024-sha384 "$(rsa 1024)" -sha256 '-rmd sha384'
make rsa1024-pss "$(rsa 1024)" -sha256 "-rmd sha256 $response_pss"
make rsa768-sha256 "$(rsa 768)" -sha256 '-rmd sha256'
make rsa2048-sha224 "$(rsa 2048)" -sha256 '-rmd sha224'
make rsa2048-md5 "$(rsa 2048)" -sha256 '-rmd md5'
make rsa3072-sha512 "$(rsa 3072)" -sha256 '-rmd sha512'
make rsa4096-sha256 "$(rsa 4096)" -sha256 '-rmd sha256'
make pss-key "$(pss_key)" "-sha256 $pss" "-rmd sha256 $response_pss"
# shellcheck disable=SC2086
make pss-key-restricted "$(pss_key $restricted)" "-sha256 $pss" "-rmd sha256 $response_pss"

# Other salts than the hash's length, other hashes in the mask, SHA-1 (whose parameters are all defaults), and keys whose
# size is no whole number of bytes; in the response's signature, and in those on the certificates.
odd_pss() { local option=$1 salt=$2; shift 2; echo "$option rsa_padding_mode:pss $option rsa_pss_saltlen:$salt $*"; }
make pss-odd-salt "$(rsa 2048)" -sha256 "-rmd sha256 $(odd_pss -rsigopt 20)"
make pss-no-salt "$(rsa 2048)" -sha256 "-rmd sha384 $(odd_pss -rsigopt 0)"
make pss-max-salt "$(rsa 3072)" -sha256 "-rmd sha512 $(odd_pss -rsigopt max)"
make pss-mask-sha1 "$(rsa 2048)" -sha256 "-rmd sha256 $(odd_pss -rsigopt digest -rsigopt rsa_mgf1_md:sha1)"
make pss-mask-sha512 "$(rsa 2048)" -sha256 "-rmd sha384 $(odd_pss -rsigopt 11 -rsigopt rsa_mgf1_md:sha512)"
make pss-2049-mask-sha1 "$(rsa 2049)" -sha256 "-rmd sha256 $(odd_pss -rsigopt digest -rsigopt rsa_mgf1_md:sha1)"
make pss-2050-mask-sha1 "$(rsa 2050)" -sha256 "-rmd sha512 $(odd_pss -rsigopt max -rsigopt rsa_mgf1_md:sha1)"
make pss-sha1 "$(rsa 2048)" -sha256 "-rmd sha1 $(odd_pss -rsigopt 20)"
make pss-sha224 "$(rsa 2048)" -sha256 "-rmd sha224 $(odd_pss -rsigopt digest)"
make pss-certified-odd-salt "$(rsa 2048)" "-sha384 $(odd_pss -sigopt 32)" '-rmd sha256'
make pss-certified-mask-sha1 "$(rsa 2048)" "-sha256 $(odd_pss -sigopt max -sigopt rsa_mgf1_md:sha1)" '-rmd sha256'
make pss-certified-sha1 "$(rsa 2048)" "-sha1 $(odd_pss -sigopt 20)" '-rmd sha256'
make ecdsa-brainpool-sha256 "$(ec brainpoolP256r1)" -sha256 '-rmd sha256'
