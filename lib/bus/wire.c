/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/bus/wire.h"

#include <string.h>

bool
wire_bad(struct wire_get *w, const char *field)
{
	w->field = field;
	return false;
}

bool
get_u64(struct wire_get *w, const char *field, uint64_t v, uint64_t *out)
{
	if (v > INT64_MAX)
		return wire_bad(w, field);
	*out = v;
	return true;
}

bool
get_u32(struct wire_get *w, const char *field, uint32_t v, uint32_t min,
        uint32_t max, uint32_t *out)
{
	if (v < min || v > max)
		return wire_bad(w, field);
	*out = v;
	return true;
}

bool
get_port(struct wire_get *w, const char *field, uint32_t v, uint16_t *out)
{
	if (v < 1 || v > UINT16_MAX)
		return wire_bad(w, field);
	*out = (uint16_t)v;
	return true;
}

bool
get_wall(struct wire_get *w, const char *field, int64_t ns, struct wall *out)
{
	if (ns < MSG_WALL_MIN || ns > MSG_WALL_MAX)
		return wire_bad(w, field);
	out->ns = ns;
	return true;
}

bool
get_id16(struct wire_get *w, const char *field, ProtobufCBinaryData b,
         struct id16 *out)
{
	if (b.len != ID16_BYTES)
		return wire_bad(w, field);
	memcpy(out->b, b.data, ID16_BYTES);
	return true;
}

bool
get_text(struct wire_get *w, const char *field, ProtobufCBinaryData b,
         size_t min_len, char *out, size_t size)
{
	if (b.len < min_len || b.len >= size)
		return wire_bad(w, field);
	/* Clean text holds no NUL. protobuf-c leaves data NULL when empty. */
	if (b.len && !text_is_clean((const char *)b.data, b.len))
		return wire_bad(w, field);
	if (b.len)
		memcpy(out, b.data, b.len);
	out[b.len] = '\0';
	return true;
}

bool
get_name(struct wire_get *w, const char *field, ProtobufCBinaryData b,
         char out[NAME_MAX_CHARS + 1])
{
	if (!get_text(w, field, b, 1, out, NAME_MAX_CHARS + 1))
		return false;
	return name_is_valid(out) || wire_bad(w, field);
}

bool
get_addrs(struct wire_get *w, const ProtobufCBinaryData *b, size_t n,
          uint16_t port, struct addr out[MSG_ADDRS_MAX], size_t *out_n)
{
	if (n > MSG_ADDRS_MAX)
		return wire_bad(w, "address");
	for (size_t i = 0; i < n; i++) {
		if (!addr_from_bytes(b[i].data, b[i].len, port, &out[i]) ||
		    addr_is_any(&out[i]) || addr_is_multicast(&out[i]))
			return wire_bad(w, "address");
	}
	*out_n = n;
	return true;
}

bool
get_lost(struct wire_get *w, const char *field, uint32_t fwd, uint32_t bwd,
         uint32_t undet)
{
	return (uint64_t)fwd + bwd + undet <= INT32_MAX || wire_bad(w, field);
}

ProtobufCBinaryData
put_bytes(const uint8_t *p, size_t n)
{
	/* protobuf-c packs without writing; its struct is just not const. */
	return (ProtobufCBinaryData){n, (uint8_t *)(uintptr_t)p};
}

ProtobufCBinaryData
put_text(const char *s)
{
	return put_bytes((const uint8_t *)s, strlen(s));
}

ProtobufCBinaryData *
put_addrs(struct arena *a, const struct addr *addr, size_t n)
{
	ProtobufCBinaryData *b;

	if (n > MSG_ADDRS_MAX)
		return NULL;
	b = arena_array(a, n, sizeof(*b));
	for (size_t i = 0; b && i < n; i++) {
		size_t len;
		const uint8_t *p;

		if (addr[i].len == 0)
			return NULL;
		p = addr_bytes(&addr[i], &len);
		b[i] = put_bytes(p, len);
	}
	return b;
}
