// Owners of OpenSSL's objects, and what its errors say. Private to this folder.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace mortise::tls {

struct Free {
  void operator()(BIO* p) const { BIO_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(SSL* p) const { SSL_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(X509_CRL* p) const { X509_CRL_free(p); }
  void operator()(GENERAL_NAMES* p) const { GENERAL_NAMES_free(p); }
};
using BioRef = std::unique_ptr<BIO, Free>;
using KeyRef = std::unique_ptr<EVP_PKEY, Free>;
using CertificateRef = std::unique_ptr<X509, Free>;
using CrlRef = std::unique_ptr<X509_CRL, Free>;
using NamesRef = std::unique_ptr<GENERAL_NAMES, Free>;

// What the calling thread's queue of errors says first; the queue is empty afterwards.
std::string take_error();

}  // namespace mortise::tls
