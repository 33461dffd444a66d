/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments: places for every config, and refusal of whatever a peer could
 * pass us instead of a proper one. */

#include <fcntl.h>
#include <sys/mman.h>

#include "shm_pair.h"

static struct shm_header
geometry(uint32_t msg_size_max, uint32_t credits, uint32_t large_count)
{
	struct weir_link_config config = {
		.size = sizeof(config),
		.msg_size_max = msg_size_max,
		.tx_credits = credits,
		.large_count = large_count,
	};
	struct shm_header h;

	weir_shm_geometry(&config, &h);
	h.magic = SHM_MAGIC;
	return h;
}

/* Classes are in order, apart from each other, and inside. */
static void
geometry_holds(uint32_t msg_size_max, uint32_t credits, uint32_t large_count)
{
	struct shm_header h = geometry(msg_size_max, credits, large_count);
	uint64_t end = h.cells_offset + (uint64_t)credits * SHM_CELL_SIZE;
	uint32_t last = h.class_count - 1;

	assert_int_equal(weir_shm_header_check(&h, h.segment_size, h.epoch), 0);
	assert_true(h.classes[last].size >= msg_size_max);
	assert_true(last == 0 || h.classes[last - 1].size < msg_size_max);
	for (uint32_t k = 1; k < h.class_count; k++) {
		assert_true(h.classes[k].offset >= end);
		assert_int_equal(h.classes[k].offset % 64, 0);
		end = h.classes[k].offset +
		      (uint64_t)h.classes[k].count * h.classes[k].stride;
		assert_true(h.classes[k].count <= credits);
	}
	assert_true(end <= h.segment_size);
}

static void
every_config_has_a_geometry(void **state)
{
	static const uint32_t sizes[] = {
		1,        47,    48,    49,    255,      256,
		257,      1024,  1025,  4096,  4097,     16384,
		16385,    65535, 65536, 65537, 1u << 20, (1u << 24) - 1,
		1u << 24,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (uint32_t credits = 1; credits <= SHM_CELLS_MAX;
		     credits *= 2)
			for (uint32_t k = 1; k <= 64; k += 21)
				geometry_holds(sizes[i], credits, k);
}

/* What docs/drivers/shm.md says a link costs. */
static void
links_are_as_small_as_promised(void **state)
{
	(void)state;
	assert_true(geometry(65536, 1024, 2).segment_size <= 4u << 20);
	assert_true(geometry(256, 64, 2).segment_size <= 100u << 10);
	assert_true(geometry(48, 16, 2).segment_size <= 80u << 10);
}

static struct shm_segment
make(void)
{
	struct weir_link_config config = { .size = sizeof(config),
					   .msg_size_max = 4096,
					   .tx_credits = 64,
					   .large_count = 2 };
	struct shm_segment s;

	assert_int_equal(
		weir_shm_segment_create(&config, WEIR_HUGEPAGES_NEVER, &s), 0);
	return s;
}

static void
unmake(struct shm_segment *s)
{
	weir_shm_segment_close_fd(s);
	weir_shm_segment_unmap(s);
}

static void
a_peer_can_read_and_never_write(void **state)
{
	struct shm_segment own = make(), peer;

	(void)state;
	assert_int_equal(weir_shm_segment_attach(own.fd, own.size,
						 own.header.epoch, &peer),
			 0);
	own.bytes[own.header.cells_offset + 20] = 77;
	assert_int_equal(peer.bytes[peer.header.cells_offset + 20], 77);
	assert_int_equal(
		mprotect(peer.bytes, peer.size, PROT_READ | PROT_WRITE), -1);
	assert_ptr_equal(mmap(NULL, own.size, PROT_READ | PROT_WRITE,
			      MAP_SHARED, own.fd, 0),
			 MAP_FAILED);
	assert_int_equal(ftruncate(own.fd, 4096), -1);
	assert_int_equal(ftruncate(own.fd, (off_t)own.size * 2), -1);
	assert_int_equal(fcntl(own.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	weir_shm_segment_unmap(&peer);
	unmake(&own);
}

static void
the_size_and_the_epoch_must_be_the_announced_ones(void **state)
{
	struct shm_segment own = make(), peer;

	(void)state;
	assert_int_equal(weir_shm_segment_attach(own.fd, own.size + 4096,
						 own.header.epoch, &peer),
			 -EPROTO);
	assert_int_equal(weir_shm_segment_attach(own.fd, own.size - 4096,
						 own.header.epoch, &peer),
			 -EPROTO);
	assert_int_equal(weir_shm_segment_attach(own.fd, own.size,
						 own.header.epoch + 1, &peer),
			 -EPROTO);
	unmake(&own);
	assert_int_equal(segment_count(), 0);
}

/* A copy of a proper segment with some seals only. */
static int
copy_with_seals(const struct shm_segment *own, int seals)
{
	int fd = memfd_create("copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, own->bytes, own->size), own->size);
	if (seals != 0)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void
every_seal_is_needed(void **state)
{
	const int seals[] = { F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE,
			      F_SEAL_SEAL };
	const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE |
			F_SEAL_SEAL;
	struct shm_segment own = make(), peer;
	int fd;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		fd = copy_with_seals(&own, all & ~seals[i]);
		assert_int_equal(weir_shm_segment_attach(
					 fd, own.size, own.header.epoch, &peer),
				 -EPROTO);
		close(fd);
	}
	fd = copy_with_seals(&own, 0);
	assert_int_equal(
		weir_shm_segment_attach(fd, own.size, own.header.epoch, &peer),
		-EPROTO);
	close(fd);
	fd = copy_with_seals(&own, all);
	assert_int_equal(
		weir_shm_segment_attach(fd, own.size, own.header.epoch, &peer),
		0);
	weir_shm_segment_unmap(&peer);
	close(fd);
	unmake(&own);
}

static void
only_a_memfd_will_do(void **state)
{
	struct shm_segment own = make(), peer;
	char path[] = "/tmp/weir-unit-XXXXXX";
	int file = mkstemp(path), ends[2];

	(void)state;
	assert_true(file >= 0);
	unlink(path);
	assert_int_equal(write(file, own.bytes, own.size), own.size);
	assert_int_equal(weir_shm_segment_attach(file, own.size,
						 own.header.epoch, &peer),
			 -EPROTO);
	close(file);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(weir_shm_segment_attach(ends[0], own.size,
						 own.header.epoch, &peer),
			 -EPROTO);
	close(ends[0]);
	close(ends[1]);
	unmake(&own);
}

/* A file of huge pages that nobody has put aside: to read it must not kill. */
static void
missing_huge_pages_are_no_trap(void **state)
{
	const uint64_t sizes[] = { UINT64_C(2) << 20, UINT64_C(64) << 20,
				   UINT64_C(2) << 30 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int rc, fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB |
							  MFD_ALLOW_SEALING);
		struct shm_segment peer;

		if (fd < 0) {
			print_message("skipped: no huge pages at all\n");
			skip();
		}
		assert_int_equal(ftruncate(fd, (off_t)sizes[i]), 0);
		assert_int_equal(fcntl(fd, F_ADD_SEALS,
				       F_SEAL_SHRINK | F_SEAL_GROW |
					       F_SEAL_FUTURE_WRITE |
					       F_SEAL_SEAL),
				 0);
		rc = weir_shm_segment_attach(fd, sizes[i], 0, &peer);
		assert_true(rc == -EPROTO || rc == -ENOMEM);
		assert_int_equal(
			fallocate(fd,
				  FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				  2 << 20),
			-1);
		close(fd);
	}
}

/* One lie each; the arithmetic ones would overflow 32 bits. */
#define LIE(field, value)                                                  \
	do {                                                               \
		struct shm_header lie = good;                              \
		lie.field = (value);                                       \
		assert_memory_not_equal(&lie, &good, sizeof(lie));         \
		assert_int_equal(weir_shm_header_check(&lie, size, epoch), \
				 -EPROTO);                                 \
	} while (0)

static void
every_lie_in_a_header_is_refused(void **state)
{
	const struct shm_header good = geometry(4096, 64, 2);
	uint64_t size = good.segment_size, epoch = good.epoch;

	(void)state;
	assert_int_equal(weir_shm_header_check(&good, size, epoch), 0);
	LIE(magic, 0);
	LIE(version, SHM_VERSION + 1);
	LIE(header_size, sizeof(good) - 8);
	LIE(segment_size, size + 4096);
	LIE(epoch, epoch + 1);
	LIE(cell_count, 0);
	LIE(cell_count, 63);
	LIE(cell_count, 128);
	LIE(cell_count, SHM_CELLS_MAX * 2);
	LIE(class_count, 0);
	LIE(class_count, SHM_CLASSES_MAX + 1);
	LIE(class_count, good.class_count + 1);
	LIE(body_limit, good.body_limit - 64);
	LIE(body_limit, good.body_limit + 1);
	LIE(body_limit, SHM_BODIES_MAX + 64);
	LIE(msg_size_max, WEIR_MSG_SIZE_LIMIT + 1);
	LIE(cells_offset, 0);
	LIE(cells_offset, good.cells_offset + 8);
	LIE(cells_offset, size);
	LIE(returns_count, 0);
	LIE(flags, 2);
	LIE(classes[0].size, 64);
	LIE(classes[0].stride, 128);
	LIE(classes[0].first, 64);
	LIE(classes[0].offset, good.classes[0].offset + 8);
	LIE(classes[1].count, 0);
	LIE(classes[1].count, UINT32_MAX);
	LIE(classes[1].size, 0);
	LIE(classes[1].size, good.classes[1].stride + 1);
	LIE(classes[1].size, SHM_INLINE_SIZE);
	LIE(classes[1].stride, UINT32_MAX);
	LIE(classes[1].stride, good.classes[1].stride + 1);
	LIE(classes[1].first, 0);
	LIE(classes[1].first, good.classes[1].first + 1);
	LIE(classes[1].first, UINT32_MAX - 63);
	LIE(classes[1].offset, 0);
	LIE(classes[1].offset, size);
	LIE(classes[1].offset, UINT64_MAX - 7);
	LIE(classes[3].offset, good.classes[3].offset + 4096);
	LIE(classes[3].count, good.classes[3].count + 64);
}

/* Several lies that agree with each other, so that one rule alone finds them. */
static void
lies_that_agree_are_refused(void **state)
{
	struct shm_header h = geometry(48, 64, 2);

	(void)state;
	assert_int_equal(weir_shm_header_check(&h, h.segment_size, 0), 0);
	h.cell_count = h.classes[0].count = 63; /* no mask */
	assert_int_equal(weir_shm_header_check(&h, h.segment_size, 0), -EPROTO);
	h = geometry(48, 64, 2);
	h.classes[0].count = 32; /* cells 32 to 63 lie anywhere */
	assert_int_equal(weir_shm_header_check(&h, h.segment_size, 0), -EPROTO);
	h = geometry(48, 64, 2);
	h.cells_offset += 8; /* words across cache lines */
	h.classes[0].offset += 8;
	h.segment_size += 4096;
	assert_int_equal(weir_shm_header_check(&h, h.segment_size, 0), -EPROTO);
	h = geometry(4096, 64, 2);
	h.body_limit += 64; /* a gap is allowed, an overlap is not */
	h.classes[3].first += 64;
	assert_int_equal(weir_shm_header_check(&h, h.segment_size, 0), 0);
	h.classes[3].first = h.classes[2].first;
	assert_int_equal(weir_shm_header_check(&h, h.segment_size, 0), -EPROTO);
}

/* Whether there are huge pages or not, require means require. */
static void
huge_pages_are_taken_or_refused(void **state)
{
	struct weir_link_config config = { .size = sizeof(config),
					   .msg_size_max = 65536,
					   .tx_credits = 1024,
					   .large_count = 2 };
	struct shm_segment s;
	int rc = weir_shm_segment_create(&config, WEIR_HUGEPAGES_REQUIRE, &s);

	(void)state;
	if (rc == 0) {
		assert_true(s.huge);
		assert_int_equal(s.size % (2u << 20), 0);
		unmake(&s);
	} else {
		assert_int_equal(rc, -ENOMEM);
		assert_non_null(strstr(weir_last_error(), "huge pages"));
	}
	assert_int_equal(
		weir_shm_segment_create(&config, WEIR_HUGEPAGES_AUTO, &s), 0);
	unmake(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_config_has_a_geometry),
		cmocka_unit_test(links_are_as_small_as_promised),
		cmocka_unit_test(a_peer_can_read_and_never_write),
		cmocka_unit_test(
			the_size_and_the_epoch_must_be_the_announced_ones),
		cmocka_unit_test(every_seal_is_needed),
		cmocka_unit_test(only_a_memfd_will_do),
		cmocka_unit_test(missing_huge_pages_are_no_trap),
		cmocka_unit_test(every_lie_in_a_header_is_refused),
		cmocka_unit_test(lies_that_agree_are_refused),
		cmocka_unit_test(huge_pages_are_taken_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
