/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_ADDR_H
#define DPDK_ADDR_H

/*
 * dpdk_addr: an IPv4 or IPv6 address and a UDP port. One form for both:
 *
 *     10.7.0.1   00 .. 00 ff ff 0a 07 00 01    as RFC 4291 2.5.5.2 maps it
 *     fd00::1    fd 00 .. 00 01
 *     none       00 .. 00                      0.0.0.0 and :: of endpoints
 *
 * so that comparing, storing and hashing know no families. On the wire a
 * mapped address inside IPv6 is refused: no two packets mean one address.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Network byte order. */
struct dpdk_ip {
	uint8_t bytes[16];
};

struct dpdk_addr {
	struct dpdk_ip ip;
	uint16_t port; /* host byte order */
};

/* Family, address and port in dpdk_addr_bytes(). */
#define DPDK_ADDR_BYTES 18

/* "[" IPv6 "]:65535" and a zero. */
#define DPDK_ADDR_TEXT 56

#define DPDK_IP4_PREFIX                                  \
	{                                                \
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff \
	}

/* From four bytes in network byte order. */
static inline struct dpdk_ip
dpdk_ip4_at(const uint8_t *from)
{
	struct dpdk_ip ip = { DPDK_IP4_PREFIX };

	memcpy(ip.bytes + 12, from, 4);
	return ip;
}

/* From a number, host byte order. */
static inline struct dpdk_ip
dpdk_ip4(uint32_t number)
{
	const uint8_t bytes[4] = { (uint8_t)(number >> 24),
				   (uint8_t)(number >> 16),
				   (uint8_t)(number >> 8), (uint8_t)number };

	return dpdk_ip4_at(bytes);
}

/* Of an IPv4 address, host byte order. */
static inline uint32_t
dpdk_ip4_number(const struct dpdk_ip *ip)
{
	const uint8_t *at = ip->bytes + 12;

	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
	       (uint32_t)at[2] << 8 | at[3];
}

static inline bool
dpdk_ip_is_ip4(const struct dpdk_ip *ip)
{
	static const uint8_t prefix[12] = DPDK_IP4_PREFIX;

	return memcmp(ip->bytes, prefix, sizeof(prefix)) == 0;
}

static inline bool
dpdk_ip_equal(const struct dpdk_ip *a, const struct dpdk_ip *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool
dpdk_ip_is_none(const struct dpdk_ip *ip)
{
	static const struct dpdk_ip none;

	return dpdk_ip_equal(ip, &none);
}

/* @return true for an address that one host can have and answer from. */
bool weir_dpdk_ip_is_unicast(const struct dpdk_ip *ip);

/*
 * @param bits of the network's prefix, counted in the address's own family.
 * @return true if both are of one family and agree in the first bits.
 */
bool weir_dpdk_ip_same_net(const struct dpdk_ip *a, const struct dpdk_ip *b,
			   unsigned int bits);

/* Read an address without brackets. @return false if it is none. */
bool weir_dpdk_ip_read(const char *text, struct dpdk_ip *ip);

/*
 * Does the address of an endpoint mean an IP address, right or wrong?
 *
 * @return true for IPv4[:PORT], *[:PORT], [...; false for a name.
 */
bool weir_dpdk_is_ip_address(const char *text);

/*
 * Read IPv4:PORT, [IPv6]:PORT, *:PORT or [::]:PORT of an endpoint; the last
 * two, and 0.0.0.0, give ip none.
 *
 * @return 0; -EINVAL with weir_fail().
 */
int weir_dpdk_addr_read(const char *text, struct dpdk_addr *addr);

/*
 * Read IP/LEN, an address of our own in its network.
 *
 * @param bits the prefix, as in weir_dpdk_ip_same_net().
 * @return 0; -EINVAL with weir_fail() that names the key.
 */
int weir_dpdk_net_read(const char *key, const char *text, struct dpdk_ip *ip,
		       unsigned int *bits);

/* Text that weir_dpdk_addr_read() would read. */
void weir_dpdk_addr_print(const struct dpdk_addr *addr, char *text,
			  size_t size);

/* Everything that identifies the address, for a MAC over it. */
static inline void
dpdk_addr_bytes(const struct dpdk_addr *addr, uint8_t bytes[DPDK_ADDR_BYTES])
{
	memcpy(bytes, addr->ip.bytes, 16);
	bytes[16] = (uint8_t)(addr->port >> 8);
	bytes[17] = (uint8_t)addr->port;
}

#endif /* DPDK_ADDR_H */
