"""Three other implementations judge OCSP responses: OpenSSL's and GnuTLS's own libraries, and the package cryptography.

Lines come in, one answer in JSON goes out for each:

    world NAME LEAF ISSUER ROOT     certificates, DER in base64
    case NAME AT RESPONSE           AT in Unix seconds, for certificates; OpenSSL and GnuTLS read the clock for the rest

OpenSSL and GnuTLS are called as their own programs `openssl ocsp -respin` and `ocsptool` call them; the caller compares
samples with those programs. cryptography has no judgement of its own: it reads, and verifies signatures.
"""

import base64
import ctypes
import json
import sys
import time
import warnings
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_uint, c_ulong, c_void_p

import cryptography
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509 import ocsp

# It warns of what is odd and goes on; what it says is told by its answer.
warnings.simplefilter("ignore")

STATUSES = {0: "good", 1: "revoked", 2: "unknown"}


def declare(library, name, result, *arguments):
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


class OpenSsl:
    """As apps/ocsp.c does with -respin, -issuer, -cert, -verify_other, -CAfile and -attime."""

    TRUST_OTHER = 0x200
    SKEW = 300  # seconds: the program's default

    def __init__(self):
        library = ctypes.CDLL("libcrypto.so.3")
        pointer = c_void_p

        def take(name, result, *arguments):
            setattr(self, name, declare(library, name, result, *arguments))

        take("OpenSSL_version", c_char_p, c_int)
        take("d2i_X509", pointer, pointer, POINTER(pointer), c_long)
        take("d2i_OCSP_RESPONSE", pointer, pointer, POINTER(pointer), c_long)
        take("OCSP_RESPONSE_free", None, pointer)
        take("OCSP_response_status", c_int, pointer)
        take("OCSP_response_get1_basic", pointer, pointer)
        take("OCSP_BASICRESP_free", None, pointer)
        take("OCSP_basic_verify", c_int, pointer, pointer, pointer, c_ulong)
        take("OCSP_cert_to_id", pointer, pointer, pointer, pointer)
        take("OCSP_resp_find_status", c_int, pointer, pointer, *[POINTER(t) for t in (c_int, c_int)],
             *[POINTER(pointer)] * 3)
        take("OCSP_check_validity", c_int, pointer, pointer, c_long, c_long)
        take("OPENSSL_sk_new_null", pointer)
        take("OPENSSL_sk_push", c_int, pointer, pointer)
        take("X509_STORE_new", pointer)
        take("X509_STORE_add_cert", c_int, pointer, pointer)
        take("X509_STORE_get0_param", pointer, pointer)
        take("X509_VERIFY_PARAM_set_time", None, pointer, c_long)
        take("ERR_get_error", c_ulong)
        take("ERR_reason_error_string", c_char_p, c_ulong)
        take("ERR_clear_error", None)
        self.digests = []
        for name in ("sha1", "sha256", "sha384", "sha512"):
            self.digests.append((name, declare(library, "EVP_" + name, pointer)()))

    def certificate(self, der):
        data = ctypes.create_string_buffer(der, len(der))
        at = c_void_p(ctypes.addressof(data))
        parsed = self.d2i_X509(None, byref(at), len(der))
        if not parsed:
            raise ValueError("OpenSSL does not read the certificate")
        return parsed

    def world(self, leaf, issuer, root):
        leaf, issuer, root = map(self.certificate, (leaf, issuer, root))
        store = self.X509_STORE_new()
        self.X509_STORE_add_cert(store, root)
        issuers = self.OPENSSL_sk_new_null()
        self.OPENSSL_sk_push(issuers, issuer)
        ids = [(name, self.OCSP_cert_to_id(digest, leaf, issuer)) for name, digest in self.digests]
        return store, issuers, ids

    def error(self):
        """The first reason, and the last: they name the rule and its consequence."""
        reasons = []
        while code := self.ERR_get_error():
            reason = self.ERR_reason_error_string(code)
            reasons.append(reason.decode() if reason else hex(code))
        return "/".join(dict.fromkeys(reasons)) or "?"

    def judge(self, world, at, response):
        store, issuers, ids = world
        self.ERR_clear_error()
        data = ctypes.create_string_buffer(response, len(response) or 1)
        here = c_void_p(ctypes.addressof(data))
        parsed = self.d2i_OCSP_RESPONSE(None, byref(here), len(response))
        if not parsed:
            return {"why": "unreadable: " + self.error()}
        try:
            status = self.OCSP_response_status(parsed)
            if status != 0:
                return {"why": f"response status {status}"}
            basic = self.OCSP_response_get1_basic(parsed)
            if not basic:
                return {"why": "unreadable: " + self.error()}
            try:
                return self.judge_basic(basic, store, issuers, ids, at)
            finally:
                self.OCSP_BASICRESP_free(basic)
        finally:
            self.OCSP_RESPONSE_free(parsed)

    def judge_basic(self, basic, store, issuers, ids, at):
        self.X509_VERIFY_PARAM_set_time(self.X509_STORE_get0_param(store), at)
        why = None
        if self.OCSP_basic_verify(basic, issuers, store, 0) <= 0:
            why = "verification: " + self.error()
            if self.OCSP_basic_verify(basic, issuers, store, self.TRUST_OTHER) > 0:
                why = None
            self.ERR_clear_error()
        answer = {"verified": why is None, "hash": "sha1"}
        for name, cert_id in ids:
            status, reason = c_int(), c_int()
            revoked, this_update, next_update = c_void_p(), c_void_p(), c_void_p()
            if not self.OCSP_resp_find_status(basic, cert_id, byref(status), byref(reason), byref(revoked),
                                              byref(this_update), byref(next_update)):
                continue
            answer["hash"], answer["says"] = name, STATUSES.get(status.value, str(status.value))
            if not self.OCSP_check_validity(this_update, next_update, self.SKEW, -1):
                answer["times"] = self.error()
            break
        if why is None and "says" not in answer:
            why = "no status"
        if why is None and "times" in answer:
            why = "times: " + answer["times"]
        if why is None:
            answer["status"] = answer["says"]
        else:
            answer["why"] = why
        self.ERR_clear_error()
        return answer


class Datum(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("size", c_uint)]


class GnuTls:
    """As ocsptool's --verify-response does with --load-signer, and with the checks of its --ask around it."""

    OLD = 3 * 86_400  # seconds: the tool's age limit for a response without nextUpdate

    def __init__(self):
        library = ctypes.CDLL("libgnutls.so.30")
        pointer = c_void_p

        def take(name, *arguments, result=c_int):
            setattr(self, name, declare(library, "gnutls_" + name, result, *arguments))

        take("check_version", c_char_p, result=c_char_p)
        take("strerror_name", c_int, result=c_char_p)
        take("x509_crt_init", POINTER(pointer))
        take("x509_crt_import", pointer, POINTER(Datum), c_int)
        take("ocsp_resp_init", POINTER(pointer))
        take("ocsp_resp_deinit", pointer, result=None)
        take("ocsp_resp_import2", pointer, POINTER(Datum), c_int)
        take("ocsp_resp_get_status", pointer)
        take("ocsp_resp_check_crt", pointer, c_uint, pointer)
        take("ocsp_resp_verify_direct", pointer, pointer, POINTER(c_uint), c_uint)
        take("ocsp_resp_get_single", pointer, c_uint, *[pointer] * 4, POINTER(c_uint), *[POINTER(c_long)] * 3, pointer)

    def datum(self, data):
        self.held = ctypes.create_string_buffer(data, len(data) or 1)
        return Datum(ctypes.addressof(self.held), len(data))

    def certificate(self, der):
        certificate = c_void_p()
        self.x509_crt_init(byref(certificate))
        code = self.x509_crt_import(certificate, byref(self.datum(der)), 0)
        if code < 0:
            raise ValueError(f"GnuTLS does not read the certificate: {self.name(code)}")
        return certificate

    def world(self, leaf, issuer, root):
        return self.certificate(leaf), self.certificate(issuer)

    def name(self, code):
        name = self.strerror_name(code)
        return name.decode().removeprefix("GNUTLS_E_") if name else str(code)

    def judge(self, world, at, response):
        parsed = c_void_p()
        self.ocsp_resp_init(byref(parsed))
        try:
            return self.judge_parsed(parsed, *world, response)
        finally:
            self.ocsp_resp_deinit(parsed)

    def judge_parsed(self, parsed, leaf, issuer, response):
        code = self.ocsp_resp_import2(parsed, byref(self.datum(response)), 0)
        if code < 0:
            return {"why": "unreadable: " + self.name(code)}
        # A response without an answer is imported, and told apart by its status only.
        status = self.ocsp_resp_get_status(parsed)
        if status != 0:
            return {"why": f"response status {status}"}
        verify = c_uint()
        code = self.ocsp_resp_verify_direct(parsed, issuer, byref(verify), 0)
        if code < 0:
            answer = {"verified": False, "why": "verification: " + self.name(code)}
        elif verify.value:
            answer = {"verified": False, "why": f"verification: bits {verify.value:#x}"}
        else:
            answer = {"verified": True}
        # The first that is about the certificate; the tool looks at the very first only.
        for index in range(2000):
            code = self.ocsp_resp_check_crt(parsed, index, leaf)
            if code == 0 or self.name(code) == "REQUESTED_DATA_NOT_AVAILABLE":
                break
        if code < 0:
            answer.setdefault("why", "no status: " + self.name(code))
            return answer
        status, times = c_uint(), [c_long(), c_long(), c_long()]
        code = self.ocsp_resp_get_single(parsed, index, None, None, None, None, byref(status),
                                         *[byref(time) for time in times], None)
        if code < 0:
            answer.setdefault("why", "single response: " + self.name(code))
            return answer
        answer["says"] = STATUSES.get(status.value, str(status.value))
        this_update, next_update, now = times[0].value, times[1].value, int(time.time())
        if answer["says"] != "revoked":
            if next_update == -1 and now - this_update > self.OLD:
                answer.setdefault("why", "times: old")
            elif next_update != -1 and next_update < now:
                answer.setdefault("why", "times: superseded")
        if "why" not in answer:
            answer["status"] = answer["says"]
        return answer


class Cryptography:
    """Reads every field, and verifies with the issuer's key or that of a certificate which the issuer's key signed."""

    def world(self, leaf, issuer, root):
        return x509.load_der_x509_certificate(leaf), x509.load_der_x509_certificate(issuer)

    @staticmethod
    def verified(key, signature, signed, algorithm, parameters=None):
        try:
            if isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, signed, parameters or padding.PKCS1v15(), algorithm)
            elif isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, signed, ec.ECDSA(algorithm))
            elif isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, signed)
            else:
                return False
            return True
        except Exception:  # whatever it says, it does not verify
            return False

    def signed_by_right(self, response, issuer):
        arguments = response.signature, response.tbs_response_bytes, response.signature_hash_algorithm
        if self.verified(issuer.public_key(), *arguments):
            return True
        for certificate in response.certificates:
            key = certificate.public_key()
            if self.verified(key, *arguments):
                signature = certificate.signature, certificate.tbs_certificate_bytes
                if self.verified(issuer.public_key(), *signature, certificate.signature_hash_algorithm):
                    return True
        return False

    def judge(self, world, at, data):
        leaf, issuer = world
        try:
            response = ocsp.load_der_ocsp_response(data)
            if response.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL:
                return {"why": f"response status {response.response_status.value}"}
            response.produced_at, response.responder_name, response.responder_key_hash, list(response.extensions)
            singles = list(response.responses)
            found = [single for single in singles if self.about(single, leaf, issuer)]
            says = [single.certificate_status.name.lower() for single in found]
            for single in found:
                single.this_update, single.next_update, single.revocation_time, single.revocation_reason
            if len(singles) == 1:
                list(response.single_extensions)
            if not self.signed_by_right(response, issuer):
                return {"verified": False, "why": "verification"}
        except Exception as error:  # pyo3's panics are no Exceptions, and end the process as they should
            return {"why": f"unreadable: {type(error).__name__}: {error}"[:200]}
        if not found:
            return {"verified": True, "why": "no status"}
        return {"verified": True, "says": says[0], "status": says[0]}

    @staticmethod
    def about(single, leaf, issuer):
        if single.serial_number != leaf.serial_number:
            return False
        try:
            algorithm = single.hash_algorithm
        except UnsupportedAlgorithm:
            return False

        def digest(data):
            digest = hashes.Hash(algorithm)
            digest.update(data)
            return digest.finalize()

        encoding, form = serialization.Encoding, serialization.PublicFormat
        key, name = issuer.public_key(), issuer.subject.public_bytes()
        if isinstance(key, rsa.RSAPublicKey):
            bits = key.public_bytes(encoding.DER, form.PKCS1)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            bits = key.public_bytes(encoding.X962, form.UncompressedPoint)
        else:
            bits = key.public_bytes(encoding.Raw, form.Raw)
        return single.issuer_name_hash == digest(name) and single.issuer_key_hash == digest(bits)


def main():
    judges = {"openssl": OpenSsl(), "gnutls": GnuTls(), "cryptography": Cryptography()}
    versions = {
        "openssl": judges["openssl"].OpenSSL_version(0).decode(),
        "gnutls": "GnuTLS " + judges["gnutls"].check_version(None).decode(),
        "cryptography": "cryptography " + cryptography.__version__,
    }
    print(json.dumps(versions), flush=True)
    worlds = {}
    for line in sys.stdin.buffer:
        what, name, *rest = line.decode().rstrip("\n").split(" ")
        if what == "world":
            certificates = [base64.b64decode(text) for text in rest]
            worlds[name] = {key: judge.world(*certificates) for key, judge in judges.items()}
            answer = {}
        else:
            at, response = int(rest[0]), base64.b64decode(rest[1])
            answer = {key: judge.judge(worlds[name][key], at, response) for key, judge in judges.items()}
        print(json.dumps(answer), flush=True)


main()
