/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_addr: addresses as text, both families. See dpdk_addr.h.
 */

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "dpdk_addr.h"
#include "weir_driver.h"

#define IP4_BITS_BEFORE 96 /* of the mapped form */

bool
weir_dpdk_ip_is_unicast(const struct dpdk_ip *ip)
{
	const uint8_t *ip4 = ip->bytes + 12;

	/* RFC 1122 3.2.1.3: this network, loopback; RFC 1112: class D, E. */
	if (dpdk_ip_is_ip4(ip))
		return ip4[0] != 0 && ip4[0] != 127 && ip4[0] < 224;
	/* RFC 4291 2.5.3, 2.7: ::, ::1 and what else begins so; multicast. */
	return ip->bytes[0] != 0xff &&
	       memcmp(ip->bytes, (const uint8_t[12]){ 0 }, 12) != 0;
}

bool
weir_dpdk_ip_same_net(const struct dpdk_ip *a, const struct dpdk_ip *b,
		      unsigned int bits)
{
	unsigned int whole, rest;

	if (dpdk_ip_is_ip4(a))
		bits += IP4_BITS_BEFORE;
	whole = bits / 8;
	rest = bits % 8;
	if (dpdk_ip_is_ip4(a) != dpdk_ip_is_ip4(b) ||
	    memcmp(a->bytes, b->bytes, whole) != 0)
		return false;
	return rest == 0 ||
	       (a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest) == 0;
}

bool
weir_dpdk_ip_read(const char *text, struct dpdk_ip *ip)
{
	uint8_t ip4[4];

	if (inet_pton(AF_INET, text, ip4) == 1) {
		*ip = dpdk_ip4_at(ip4);
		return true;
	}
	/* Mapped: IPv4 that pretends to be IPv6, and would go out as IPv4. */
	return inet_pton(AF_INET6, text, ip->bytes) == 1 && !dpdk_ip_is_ip4(ip);
}

bool
weir_dpdk_is_ip_address(const char *text)
{
	char host[INET_ADDRSTRLEN];
	size_t len = strcspn(text, ":");
	struct in_addr ip4;
	struct in6_addr ip6;

	if (text[0] == '[' || strcmp(text, "*") == 0 ||
	    strncmp(text, "*:", 2) == 0 || inet_pton(AF_INET6, text, &ip6) == 1)
		return true;
	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	return inet_pton(AF_INET, host, &ip4) == 1;
}

/* @return 0 if it is no number of a UDP port. */
static uint16_t
read_port(const char *text)
{
	char *end;
	long number;

	if (!isdigit((unsigned char)*text))
		return 0;
	number = strtol(text, &end, 10);
	return *end == '\0' && number <= UINT16_MAX ? (uint16_t)number : 0;
}

static int
read_host(const char *text, const char *host, bool is_ip6, struct dpdk_ip *ip)
{
	static const struct dpdk_ip none, ip4_none = { DPDK_IP4_PREFIX };

	*ip = none;
	if (!is_ip6 && strcmp(host, "*") == 0)
		return 0;
	if (!weir_dpdk_ip_read(host, ip) || dpdk_ip_is_ip4(ip) == is_ip6)
		return weir_fail(-EINVAL,
				 "dpdk:%s: '%s' is not an %s address; write "
				 "dpdk:IPV4:PORT or dpdk:[IPV6]:PORT",
				 text, host, is_ip6 ? "IPv6" : "IPv4");
	if (dpdk_ip_equal(ip, &ip4_none))
		*ip = none;
	if (!dpdk_ip_is_none(ip) && !weir_dpdk_ip_is_unicast(ip))
		return weir_fail(-EINVAL,
				 "dpdk:%s: no host has that address; write a "
				 "unicast address",
				 text);
	return 0;
}

int
weir_dpdk_addr_read(const char *text, struct dpdk_addr *addr)
{
	bool is_ip6 = text[0] == '[';
	const char *host = text + is_ip6;
	const char *end = is_ip6 ? strchr(host, ']') : strrchr(host, ':');
	const char *colon = end != NULL ? end + is_ip6 : NULL;
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr bare;

	if (is_ip6 && end == NULL)
		return weir_fail(-EINVAL,
				 "dpdk:%s: the bracket is not closed; write "
				 "dpdk:[IPV6]:PORT",
				 text);
	if (inet_pton(AF_INET6, text, &bare) == 1)
		return weir_fail(-EINVAL,
				 "dpdk:%s: an IPv6 address stands in brackets, "
				 "so that its port can follow; write "
				 "dpdk:[IPV6]:PORT",
				 text);
	addr->port = colon != NULL && *colon == ':' ? read_port(colon + 1) : 0;
	if (addr->port == 0)
		return weir_fail(-EINVAL,
				 "dpdk:%s: no UDP port; write dpdk:IP:PORT "
				 "with PORT from 1 to 65535",
				 text);
	snprintf(copy, sizeof(copy), "%.*s", (int)(end - host), host);
	return read_host(text, copy, is_ip6, &addr->ip);
}

int
weir_dpdk_net_read(const char *key, const char *text, struct dpdk_ip *ip,
		   unsigned int *bits)
{
	const char *slash = strchr(text, '/');
	char copy[INET6_ADDRSTRLEN] = "";
	char *end = NULL;
	long number = -1;

	if (slash != NULL && (size_t)(slash - text) < sizeof(copy) &&
	    isdigit((unsigned char)slash[1])) {
		memcpy(copy, text, (size_t)(slash - text));
		number = strtol(slash + 1, &end, 10);
	}
	if (number < 1 || *end != '\0' || !weir_dpdk_ip_read(copy, ip) ||
	    number > (dpdk_ip_is_ip4(ip) ? 32 : 128))
		return weir_fail(-EINVAL,
				 "dpdk: %s=%s is not IP/LEN; write for example "
				 "%s=10.7.0.1/24 or %s=fd00::1/64",
				 key, text, key, key);
	if (!weir_dpdk_ip_is_unicast(ip))
		return weir_fail(-EINVAL,
				 "dpdk: %s=%s is no address that a host can "
				 "have; write a unicast address",
				 key, text);
	*bits = (unsigned int)number;
	return 0;
}

void
weir_dpdk_addr_print(const struct dpdk_addr *addr, char *text, size_t size)
{
	char host[INET6_ADDRSTRLEN];

	if (dpdk_ip_is_ip4(&addr->ip)) {
		inet_ntop(AF_INET, addr->ip.bytes + 12, host, sizeof(host));
		snprintf(text, size, "%s:%u", host, addr->port);
	} else {
		inet_ntop(AF_INET6, addr->ip.bytes, host, sizeof(host));
		snprintf(text, size, "[%s]:%u", host, addr->port);
	}
}
