/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Round-trip time: smoothed mean, deviation, minimum, and the two time-outs
 * that follow from them.
 *
 *      sample --> srtt (gain 1/8), rttvar (gain 1/4), min over 10 s
 *      RTO = srtt + max(4 rttvar, 1 us) + peer's ack delay, floor, ceiling
 *      PTO = max(2 srtt, srtt + 4 rttvar) + peer's ack delay, floor
 *
 * The peer's ack delay belongs into both: without it a fault-free link
 * with slow traffic retransmits (RFC 9002 6.2.1 has it, RFC 6298 has not).
 */
#ifndef WEIR_RTT_H
#define WEIR_RTT_H

#include <stdbool.h>
#include <stdint.h>

#define RTT_GRANULARITY_NS UINT64_C(1000)
#define RTT_MIN_LIFE_NS    UINT64_C(10000000000)
#define RTT_BACKOFF_MAX    20

struct rtt {
	uint64_t srtt_ns; /* 0: no sample yet */
	uint64_t rttvar_ns;
	uint64_t min_ns;
	uint64_t min_at_ns;
	uint64_t last_ns; /* newest sample; whoever uses it sets it to 0 */
};

/** Take one sample; it is already free of the peer's hold time. */
static inline void
rtt_sample(struct rtt *rtt, uint64_t sample_ns, uint64_t now_ns)
{
	uint64_t err_ns;

	if (sample_ns < RTT_GRANULARITY_NS)
		sample_ns = RTT_GRANULARITY_NS;
	rtt->last_ns = sample_ns;
	if (sample_ns <= rtt->min_ns || rtt->min_ns == 0 ||
	    now_ns - rtt->min_at_ns > RTT_MIN_LIFE_NS) {
		rtt->min_ns = sample_ns;
		rtt->min_at_ns = now_ns;
	}
	if (rtt->srtt_ns == 0) {
		rtt->srtt_ns = sample_ns;
		rtt->rttvar_ns = sample_ns >> 1;
		return;
	}
	err_ns = sample_ns > rtt->srtt_ns ? sample_ns - rtt->srtt_ns
					  : rtt->srtt_ns - sample_ns;
	/* RFC 6298 section 2.3, in integers: gains of 1/4 and 1/8. */
	rtt->rttvar_ns += (err_ns >> 2) - (rtt->rttvar_ns >> 2);
	rtt->srtt_ns += (sample_ns >> 3) - (rtt->srtt_ns >> 3);
}

/** @return the retransmission time-out without back-off. */
static inline uint64_t
rtt_rto(const struct rtt *rtt, uint64_t ack_delay_ns, uint64_t floor_ns,
	uint64_t ceiling_ns)
{
	uint64_t dev_ns = 4 * rtt->rttvar_ns;
	uint64_t rto_ns;

	if (dev_ns < RTT_GRANULARITY_NS)
		dev_ns = RTT_GRANULARITY_NS;
	rto_ns = rtt->srtt_ns + dev_ns + ack_delay_ns;
	if (rto_ns < floor_ns)
		rto_ns = floor_ns;
	return rto_ns > ceiling_ns ? ceiling_ns : rto_ns;
}

/** @return how long after the last packet a tail-loss probe goes out. */
static inline uint64_t
rtt_pto(const struct rtt *rtt, uint64_t ack_delay_ns, uint64_t floor_ns)
{
	uint64_t twice_ns = 2 * rtt->srtt_ns;
	uint64_t pto_ns = rtt->srtt_ns + 4 * rtt->rttvar_ns;

	if (pto_ns < twice_ns)
		pto_ns = twice_ns;
	pto_ns += ack_delay_ns;
	return pto_ns < floor_ns ? floor_ns : pto_ns;
}

/** @return base doubled `times` times, at most ceiling. */
static inline uint64_t
rtt_backoff(uint64_t base_ns, uint32_t times, uint64_t ceiling_ns)
{
	uint64_t ns = base_ns
		      << (times < RTT_BACKOFF_MAX ? times : RTT_BACKOFF_MAX);

	return ns > ceiling_ns ? ceiling_ns : ns;
}

#endif
