/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CRC32C (polynomial 0x1edc6f41, reflected), the trailer of docs/wire.md 2.4:
 *
 *     trailer = crc32c(addresses and ports, then the packet)
 *
 * It finds accidents, not attacks. With SSE4.2 where the processor has it,
 * else by a small table.
 *
 * Pure: no clock, no allocation, no I/O.
 */
#ifndef WEIR_CRC32C_H
#define WEIR_CRC32C_H

#include <stdint.h>

/**
 * Go on with a CRC over more bytes.
 * @param crc 0 at the beginning, else what the call before returned.
 */
uint32_t weir_crc32c(uint32_t crc, const void *bytes, uint32_t len);

/* The two ways to compute it, for tests; weir_crc32c() chooses. */
uint32_t weir_crc32c_table(uint32_t crc, const void *bytes, uint32_t len);
/* Where there is none, or the processor has no SSE4.2: as _table(). */
uint32_t weir_crc32c_sse42(uint32_t crc, const void *bytes, uint32_t len);

/**
 * The trailer of a packet.
 * @param addr source and destination address, source and destination port as
 *   they stand in the IP and UDP headers: 12 bytes or, with IPv6, 36.
 */
static inline uint32_t
crc32c_trailer(const uint8_t *addr, uint32_t addr_len, const uint8_t *packet,
	       uint32_t len)
{
	return weir_crc32c(weir_crc32c(0, addr, addr_len), packet, len);
}

#endif
