/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CURVE key pairs: who a node or a controller is. The secret key is kept in a
 * file of mode 0600 (any wider mode, or another owner, is refused), written to
 * a temporary file, fsynced and renamed, so that a crash never leaves half a
 * key. Keys are shown to people in base32 (52 characters), never in libzmq's
 * Z85, whose characters do not survive a shell or a URL. The fingerprint is
 * the first 10 octets of SHA-256 of the public key in base32, in four groups.
 */
#ifndef TWMESH_BUS_KEYS_H
#define TWMESH_BUS_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYS_BYTES 32
#define KEYS_TEXT_SIZE 53        /* 52 characters of base32 and a NUL */
#define KEYS_FINGERPRINT_SIZE 20 /* "ABCD-EFGH-IJKL-MNOP" and a NUL */

struct keys {
	uint8_t public_key[KEYS_BYTES];
	uint8_t secret_key[KEYS_BYTES];
};

/* A new random pair. False when this libzmq was built without CURVE. */
bool keys_generate(struct keys *out) __attribute__((warn_unused_result));
/* The pair whose secret key is in `path`. False with one clear line in err:
 * missing, not a file, mode, owner, or not a key. */
bool keys_load(const char *path, struct keys *out, char *err, size_t err_size)
    __attribute__((warn_unused_result));
/* keys_load(), but a missing file is made first. Writes the public key
 * (base32, a line) beside it, to public_path, whenever that differs. */
bool keys_load_or_create(const char *path, const char *public_path,
                         struct keys *out, char *err, size_t err_size)
    __attribute__((warn_unused_result));
/* Forgets the secret, so that the compiler cannot leave it behind. */
void keys_wipe(struct keys *k);

/* `out` takes KEYS_TEXT_SIZE. */
void keys_text(const uint8_t key[KEYS_BYTES], char *out);
/* 52 characters of base32, either case, '-' and spaces ignored. */
bool keys_parse(const char *text, uint8_t key[KEYS_BYTES]);

/* `out` takes KEYS_FINGERPRINT_SIZE. */
void keys_fingerprint(const uint8_t key[KEYS_BYTES], char *out);
/* As typed by people (either case, '-' and spaces optional) -> canonical. */
bool keys_fingerprint_parse(const char *typed, char *out);

#endif
