/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names and other text from outside. Names of nodes, sites, classes and meshes
 * are checked at every entrance; all other text stays hostile wherever it is
 * shown.
 */
#ifndef TWMESH_BASE_TEXT_H
#define TWMESH_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_MAX_CHARS 63 /* as a DNS label */

/* [a-z0-9]([a-z0-9-]{0,61}[a-z0-9])? */
bool name_is_valid(const char *name);
/* What name_is_valid() expects, in words, for error messages. */
#define NAME_RULE                                                             \
	"1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or " \
	"digit"

/* Octets of control characters (C0, DEL, C1, directional overrides) and of
 * invalid UTF-8 become '?'. */
void text_make_printable(char *s);
/* True if the bytes are valid UTF-8 without NUL and without such control
 * characters: what text fields of messages must be. */
bool text_is_clean(const char *s, size_t len);

/* A decimal integer in [min, max] with nothing around it. */
bool text_parse_i64(const char *s, int64_t min, int64_t max, int64_t *out);
/* "10ms", "1.5s", "200us", "2m", "1h", or a bare number in `unit_ns`; the
 * result lies in [min_ns, max_ns]. */
bool text_parse_duration(const char *s, int64_t unit_ns, int64_t min_ns,
                         int64_t max_ns, int64_t *out_ns);

/*
 * Base32 (RFC 4648, upper case, no padding), for keys shown to people.
 * encode: `out` takes base32_len(n) + 1 octets. decode: exactly `n` octets, in
 * either case, '-' and spaces ignored; false if it is anything else.
 */
#define BASE32_LEN(n) (((n)*8 + 4) / 5)
void base32_encode(const uint8_t *bytes, size_t n, char *out);
bool base32_decode(const char *text, uint8_t *bytes, size_t n);

#endif
