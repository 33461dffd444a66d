/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a link keeps in memory, in pages that are really there: idle, and when
 * every cell and body has been used. The bounds are those of the table in
 * docs/drivers/shm.md; they count pages, so they follow the machine's page size.
 *
 * Pss of /proc/self/smaps_rollup: a page that both ends have mapped, in this
 * process, counts once. 100 links, 1,000 with WEIR_CHECK_LONG=1.
 */

#include <inttypes.h>
#include <sys/resource.h>

#include "shm_pair.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* As the documents say, of both ends together. */
#define IDLE_PAGES 7u
#define USED_PAGES 16u
#define HEAP_BYTES (8u * 1024)

/* Descriptors of both ends. */
#define LINK_FDS 14u

static const struct weir_link_config config = {
	.size = sizeof(config),
	.msg_size_max = 256,
	.tx_credits = 64,
};

/* @return 0: this kernel does not say. */
static uint64_t
resident_bytes(void)
{
	FILE *rollup = fopen("/proc/self/smaps_rollup", "r");
	uint64_t kib = 0;
	char line[256];

	if (rollup == NULL)
		return 0;
	while (kib == 0 && fgets(line, sizeof(line), rollup) != NULL)
		if (sscanf(line, "Pss: %" SCNu64, &kib) != 1)
			kib = 0;
	fclose(rollup);
	return kib * 1024;
}

static void
need_descriptors(uint32_t links)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < links * LINK_FDS + 100) {
		print_message("skipped: the hard limit of open files is %lu\n",
			      (unsigned long)limit.rlim_max);
		skip();
	}
	limit.rlim_cur = links * LINK_FDS + 100;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Each credit once, with the largest message; then all of it again, small. */
static void
use_one_way(struct weir_tx *tx, struct weir_rx *rx)
{
	static const uint32_t sizes[] = { 256, 48 };
	struct weir_permit permits[64];
	struct weir_msg msgs[64];
	struct weir_slot slot;

	for (int k = 0; k < 2; k++) {
		assert_int_equal(
			weir_tx_reserve_burst(tx, sizes[k], permits, 64), 64);
		for (int i = 0; i < 64; i++) {
			assert_int_equal(
				weir_permit_alloc(&permits[i], sizes[k], &slot),
				0);
			memset(slot.data, i, sizes[k]);
			weir_slot_commit(&slot);
		}
		assert_int_equal(weir_rx_recv_burst(rx, msgs, 64), 64);
		for (int i = 0; i < 64; i++)
			weir_msg_release(&msgs[i]);
	}
}

static void
at_most(const char *when, uint64_t bytes, uint64_t bound)
{
	print_message("%s: %" PRIu64 " bytes of %" PRIu64 "\n", when, bytes,
		      bound);
	if (bytes > bound)
		fail_msg("%s: %" PRIu64 " bytes resident, %" PRIu64
			 " documented",
			 when, bytes, bound);
}

static void
a_link_keeps_no_more_resident_than_documented(void **state)
{
	uint32_t count = getenv("WEIR_CHECK_LONG") != NULL ? 1000 : 100;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), before, bytes;
	struct pair *pairs;

	(void)state;
	before = resident_bytes();
	if (SANITIZED || before == 0) {
		print_message("skipped: %s\n",
			      SANITIZED ? "a sanitizer's memory is counted too"
					: "no /proc/self/smaps_rollup");
		skip();
	}
	need_descriptors(count);
	pairs = calloc(count, sizeof(*pairs));
	assert_non_null(pairs);
	pair_open(&pairs[0], &config); /* what is there once */
	use_one_way(pairs[0].a_tx, pairs[0].b_rx);
	pair_close(&pairs[0]);
	before = resident_bytes();
	for (uint32_t i = 0; i < count; i++)
		pair_open(&pairs[i], &config);
	bytes = (resident_bytes() - before) / count;
	at_most("idle", bytes, IDLE_PAGES * page + HEAP_BYTES);
	for (uint32_t i = 0; i < count; i++) {
		use_one_way(pairs[i].a_tx, pairs[i].b_rx);
		use_one_way(pairs[i].b_tx, pairs[i].a_rx);
	}
	bytes = (resident_bytes() - before) / count;
	at_most("used", bytes, USED_PAGES * page + HEAP_BYTES);
	for (uint32_t i = 0; i < count; i++)
		pair_close(&pairs[i]);
	free(pairs);
	assert_int_equal(segment_count(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_keeps_no_more_resident_than_documented),
	};

	return cmocka_run_group_tests(tests, own_names, NULL);
}
