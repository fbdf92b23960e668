/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/cursor.h: how the parser reads bytes, and where it is.
 *
 * No maps, no helpers, no globals: compiled into the BPF object and, as C++,
 * into whatever parses packets in user space. Any thread.
 */
#ifndef RHEO_BPF_CURSOR_H
#define RHEO_BPF_CURSOR_H

#include "bpf/abi.h"

#define BPF_INLINE		static inline __attribute__((always_inline))
#define BPF_LIKELY(condition)	__builtin_expect(!!(condition), 1)
#define BPF_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* Before a loop: kernels before 6.6 refuse a loop that is entered by a jump and left to go round by
 * falling through, as clang may lay it out. */
#ifdef __bpf__
#define BPF_UNROLLED _Pragma("unroll")
#else
#define BPF_UNROLLED
#endif

#ifdef __cplusplus
namespace rheo::abi
{
#endif

/* Which memory a packet is read from; a constant wherever it is passed. */
enum parse_memory {
	/* The packet itself, checked against its end. Plain packets only, see
	 * bpf/parse_plain.h: the rest is PARSE_COPY. */
	MEMORY_PACKET,
	/* A copy of at most MAX_HEADER_BYTES, checked by its number of bytes. In
	 * BPF it must be followed by 64 more bytes that may be read. */
	MEMORY_COPY,
};

/* In MEMORY_COPY. */
struct cursor {
	const __u8 *data; /* the packet's first byte */
	__u64 available;  /* bytes in the memory */
	__u64 offset;	  /* from data to the next header */
	__u64 length;	  /* of the packet, which may be longer than the memory */
	__u64 zero;	  /* 0, but no verifier may know that */
};

/* Moves behind a header. A verifier that does not know how far this was need not
 * follow what comes next once for every way of getting there. */
BPF_INLINE void advance(struct cursor *c, __u64 bytes)
{
	c->offset += bytes + c->zero;
}

/* Loads from memory of any alignment. In BPF the kernel or the JIT sees to it;
 * a byte-wise copy there would cost what the parser has to save. */
#ifdef __bpf__
#define LOAD_AS(type, from)	       (*(const type *)(from))
#define STORE_AS(type, to, from_value) (*(type *)(to) = (from_value))
#else
#define STORE_AS(type, to, from_value)                             \
	do {                                                       \
		const type stored_ = (from_value);                 \
		__builtin_memcpy((to), &stored_, sizeof(stored_)); \
	} while (0)
#define LOAD_AS(type, from)                                          \
	(__extension__({                                             \
		type loaded_;                                        \
		__builtin_memcpy(&loaded_, (from), sizeof(loaded_)); \
		loaded_;                                             \
	}))
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FROM_BE16(value) __builtin_bswap16(value)
#define FROM_BE32(value) __builtin_bswap32(value)
#define FROM_BE64(value) __builtin_bswap64(value)
/* A word of memory from two halves in the order of their addresses. */
#define WORD64(low_address, high_address) ((__u64)(low_address) | (__u64)(high_address) << 32)
#define WORD32(low_address, high_address) ((__u32)(low_address) | (__u32)(high_address) << 16)
#define WORD16(low_address, high_address) ((__u16)((low_address) | (high_address) << 8))
/* The halves of a word of memory: that with the lower address, that with the higher. */
#define LOWER32(word) ((__u32)(word))
#define UPPER32(word) ((__u32)((word) >> 32))
#else
#define FROM_BE16(value)		  ((__u16)(value))
#define FROM_BE32(value)		  ((__u32)(value))
#define FROM_BE64(value)		  ((__u64)(value))
#define WORD64(low_address, high_address) ((__u64)(low_address) << 32 | (__u64)(high_address))
#define WORD32(low_address, high_address) ((__u32)(low_address) << 16 | (__u32)(high_address))
#define WORD16(low_address, high_address) ((__u16)((low_address) << 8 | (high_address)))
#define LOWER32(word)			  ((__u32)((word) >> 32))
#define UPPER32(word)			  ((__u32)(word))
#endif

BPF_INLINE __u16 load_be16(const __u8 *from)
{
	return FROM_BE16(LOAD_AS(__u16, from));
}

BPF_INLINE __u32 load_be32(const __u8 *from)
{
	return FROM_BE32(LOAD_AS(__u32, from));
}

/* The `size` bytes (1 to 64) at an offset, or NULL where they are not in memory. */
BPF_INLINE const __u8 *bytes_at(const struct cursor *c, __u64 offset, const __u64 size)
{
	if (offset + size > c->available || offset >= MAX_HEADER_BYTES)
		return 0;
#ifdef __bpf__
	/* Says the same as the test above, in a way that no verifier loses. */
	__asm__ volatile("%0 &= 255" : "+r"(offset));
#endif
	return c->data + offset;
}

BPF_INLINE const __u8 *next_bytes(const struct cursor *c, const __u64 size)
{
	return bytes_at(c, c->offset, size);
}

#ifdef __cplusplus
}
#endif

#endif
