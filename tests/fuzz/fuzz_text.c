/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Text that people write: endpoints, what the dpdk driver reads out of them,
 * addresses.
 *
 *     any bytes --> endpoint --> device, VLAN, address, network
 *               `-> faults of a network
 *
 * Whatever is accepted prints as text that is accepted again and means the
 * same.
 */
#include <string.h>
#include "dpdk_addr.h"
#include "dpdk_dev.h"
#include "dpdk_fault.h"
#include "fuzz.h"
#include "weir_driver.h"

#define TEXT_MAX 700

int weir_endpoint_parse(const char *text, struct weir_endpoint *ep);

static void
read_numbers(const struct weir_endpoint *ep)
{
	for (unsigned int i = 0; i < ep->key_count; i++) {
		uint64_t value = 0;

		if (weir_endpoint_u64(ep, ep->keys[i].key, 3, 1u << 20,
				      &value) == 0)
			FUZZ_CHECK(value >= 3 && value <= 1u << 20);
	}
}

static void
read_address(const char *text)
{
	char again[DPDK_ADDR_TEXT];
	struct dpdk_addr addr, same;
	struct dpdk_ip ip;
	unsigned int bits;

	if (weir_dpdk_addr_read(text, &addr) == 0) {
		FUZZ_CHECK(weir_dpdk_is_ip_address(text));
		weir_dpdk_addr_print(&addr, again, sizeof(again));
		FUZZ_CHECK(weir_dpdk_addr_read(again, &same) == 0);
		FUZZ_CHECK(memcmp(&addr.ip, &same.ip, sizeof(addr.ip)) == 0);
		FUZZ_CHECK(addr.port == same.port);
	}
	if (weir_dpdk_net_read("local", text, &ip, &bits) == 0) {
		FUZZ_CHECK(bits <= (dpdk_ip_is_ip4(&ip) ? 32u : 128u));
		FUZZ_CHECK(weir_dpdk_ip_same_net(&ip, &ip, bits));
	}
	if (weir_dpdk_ip_read(text, &ip))
		(void)weir_dpdk_ip_is_unicast(&ip);
}

static void
check_rate(dpdk_fault_rate rate)
{
	FUZZ_CHECK(rate <= DPDK_FAULT_ALWAYS || rate == DPDK_FAULT_NOT_ASKED);
}

static void
read_fault(const char *text)
{
	struct dpdk_fault_spec f;

	if (weir_dpdk_fault_parse(text, &f) != 0)
		return;
	check_rate(f.loss);
	check_rate(f.burst);
	FUZZ_CHECK(f.burst_end <= DPDK_FAULT_ALWAYS);
	check_rate(f.dup);
	check_rate(f.reorder);
	check_rate(f.corrupt);
	check_rate(f.corrupt_sum);
	check_rate(f.truncate);
	FUZZ_CHECK(f.reorder_by <= DPDK_FAULT_REORDER_MAX);
	FUZZ_CHECK(f.hold <= DPDK_FAULT_HOLD_MAX);
	FUZZ_CHECK((f.hold & (f.hold - 1)) == 0);
}

static void
read_endpoint(const char *text)
{
	struct dpdk_hdr_wire wire;
	struct dpdk_dev_spec spec;
	struct weir_endpoint ep;
	uint8_t ttl_min;

	if (weir_endpoint_parse(text, &ep) != 0)
		return;
	FUZZ_CHECK(ep.scheme[0] != '\0' && ep.address[0] != '\0');
	FUZZ_CHECK(ep.key_count <= WEIR_ENDPOINT_KEYS_MAX);
	read_numbers(&ep);
	read_address(ep.address);
	for (unsigned int i = 0; i < ep.key_count; i++)
		read_address(ep.keys[i].value);
	if (weir_dpdk_dev_spec_parse(&ep, &spec) != 0)
		return;
	FUZZ_CHECK(spec.name[0] != '\0');
	FUZZ_CHECK(memchr(spec.name, '\0', sizeof(spec.name)) != NULL);
	FUZZ_CHECK(memchr(spec.args, '\0', sizeof(spec.args)) != NULL);
	(void)weir_dpdk_wire_parse(&ep, &spec, &wire, &ttl_min);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[TEXT_MAX];

	if (size >= TEXT_MAX)
		return 0;
	if (size != 0)
		memcpy(text, data, size);
	text[size] = '\0';
	read_address(text);
	read_fault(text);
	read_endpoint(text);
	return 0;
}
