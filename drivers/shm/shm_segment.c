/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments: sizes and places, memfd, seals, NUMA, and the checks of a peer's. */

#include "shm_segment.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <numa.h>
#include <numaif.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doorbell.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

#define PAGE_SIZE      4096u
#define HUGE_PAGE_SIZE (2u * 1024u * 1024u)

/* A smaller segment would waste most of a huge page. */
#define HUGE_WORTH (1024u * 1024u)

static uint64_t
round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* ---- geometry ------------------------------------------------------------- */

/* Classes between the inline one and the large one. Steps of four waste at
 * most three quarters of a body; counts keep a default segment under 4 MiB,
 * two huge pages, and no class under 1 MiB where that is useful. */
static const struct {
	uint32_t size;
	uint32_t count_max;
} steps[] = {
	{ 256, 1024 }, { 1024, 512 }, { 4096, 256 },
	{ 16384, 64 }, { 65536, 16 },
};

#define STEPS (sizeof(steps) / sizeof(steps[0]))

static_assert(STEPS + 2 <= SHM_CLASSES_MAX, "inline, steps, large");
static_assert(SHM_CLASSES_MAX <= WEIR_CLASSES_MAX, "all appear in statistics");
static_assert(SHM_CELLS_MAX + 1024 + 512 + 256 + 64 + 64 + 64 <= SHM_BODIES_MAX,
	      "all bodies can be numbered");

static uint64_t
add_class(struct shm_header *h, uint32_t size, uint32_t count, uint64_t offset)
{
	struct shm_class *c = &h->classes[h->class_count++];

	*c = (struct shm_class){
		.size = size,
		.count = count,
		.first = h->body_limit,
		.stride = size,
		.offset = offset,
	};
	h->body_limit = (uint32_t)round_up(c->first + count, SHM_GROUP_SIZE);
	return offset + (uint64_t)size * count;
}

void
weir_shm_geometry(const struct weir_link_config *config,
		  struct shm_header *header)
{
	uint32_t most = config->msg_size_max, cells = config->tx_credits;
	uint64_t offset = sizeof(struct shm_front);

	*header = (struct shm_header){
		.version = SHM_VERSION,
		.header_size = sizeof(*header),
		.cell_count = cells,
		.msg_size_max = most,
		.cells_offset = offset,
		.returns_count = SHM_BODIES_MAX,
	};
	add_class(header, SHM_INLINE_SIZE, cells,
		  offset + offsetof(struct shm_cell, data));
	header->classes[0].stride = SHM_CELL_SIZE;
	offset += (uint64_t)cells * SHM_CELL_SIZE;
	for (size_t i = 0; i < STEPS; i++) {
		uint32_t below = i == 0 ? SHM_INLINE_SIZE : steps[i - 1].size;
		uint32_t size = steps[i].size, count = steps[i].count_max;

		if (most <= below)
			break;
		if (most < size)
			size = (uint32_t)round_up(most, SHM_CELL_SIZE);
		offset = add_class(header, size, count < cells ? count : cells,
				   offset);
	}
	if (most > steps[STEPS - 1].size) {
		uint32_t count = config->large_count;

		offset = add_class(header,
				   (uint32_t)round_up(most, SHM_CELL_SIZE),
				   count < cells ? count : cells,
				   round_up(offset, PAGE_SIZE));
	}
	header->segment_size = round_up(offset, PAGE_SIZE);
}

/* ---- ours ------------------------------------------------------------------ */

/* Kernels before 6.3 do not know NOEXEC_SEAL. */
static int
memfd_open(unsigned int flags)
{
	int fd;

	flags |= MFD_CLOEXEC | MFD_ALLOW_SEALING;
	fd = memfd_create("weir", flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("weir", flags);
	return fd < 0 ? -errno : fd;
}

static int
map_new(struct shm_segment *s, size_t size, unsigned int flags)
{
	int rc, fd = memfd_open(flags);
	void *base;

	if (fd < 0)
		return fd;
	if (ftruncate(fd, (off_t)size) != 0) {
		rc = -errno;
		goto close_fd;
	}
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED) {
		rc = -errno;
		goto close_fd;
	}
	s->bytes = base;
	s->size = size;
	s->fd = fd;
	s->huge = (flags & MFD_HUGETLB) != 0;
	return 0;

close_fd:
	close(fd);
	return rc;
}

static int
map_new_of(struct shm_segment *s, enum weir_hugepages hugepages)
{
	size_t size = s->header.segment_size;
	int rc = -ENOMEM;

	if (hugepages == WEIR_HUGEPAGES_REQUIRE ||
	    (hugepages == WEIR_HUGEPAGES_AUTO && size >= HUGE_WORTH))
		rc = map_new(s, round_up(size, HUGE_PAGE_SIZE),
			     MFD_HUGETLB | MFD_HUGE_2MB);
	if (rc != 0 && hugepages == WEIR_HUGEPAGES_REQUIRE)
		return weir_fail(-ENOMEM,
				 "shm segment: no %zu free huge pages of 2 "
				 "MiB; reserve some or do not require them",
				 (size_t)round_up(size, HUGE_PAGE_SIZE) /
					 HUGE_PAGE_SIZE);
	if (rc != 0)
		rc = map_new(s, size, 0);
	if (rc == -EMFILE || rc == -ENFILE)
		return weir_fail(rc,
				 "shm segment: no descriptor is left; raise "
				 "the limit of open files");
	if (rc != 0)
		return weir_fail(rc,
				 "shm segment of %zu bytes: %s; lower "
				 "msg_size_max or tx_credits, or raise limits",
				 size, strerror(-rc));
	return 0;
}

/* Prefer the node we run on; a wish, so failure is nothing. */
static void
place(struct shm_segment *s)
{
	unsigned long mask[16] = { 0 };
	int node, cpu = sched_getcpu();
	const int bits = 8 * (int)sizeof(mask[0]);

	if (cpu < 0 || numa_available() < 0 || numa_max_node() == 0)
		return;
	node = numa_node_of_cpu(cpu);
	if (node < 0 || node >= 16 * bits)
		return;
	mask[node / bits] = 1ul << (node % bits);
	(void)mbind(s->bytes, s->size, MPOL_PREFERRED, mask,
		    (unsigned long)(16 * bits), 0);
}

/* Touch what every message passes through, so that the first lap does not
 * fault. Bodies are left: most links never use most of them. */
static void
prefault(struct shm_segment *s)
{
	uint64_t end = s->header.cells_offset +
		       (uint64_t)s->header.cell_count * SHM_CELL_SIZE;

	for (uint64_t at = s->header.cells_offset; at < end; at += PAGE_SIZE)
		*(volatile uint8_t *)(s->bytes + at) = 0;
}

int
weir_shm_segment_create(const struct weir_link_config *config,
			enum weir_hugepages hugepages,
			struct shm_segment *segment)
{
	struct shm_segment s = { .fd = -1 };
	int rc;

	weir_shm_geometry(config, &s.header);
	if (s.header.segment_size > SHM_SEGMENT_SIZE_MAX)
		return weir_fail(-ENOMEM,
				 "shm segment: over %u MiB; lower msg_size_max "
				 "or large_count",
				 (unsigned int)(SHM_SEGMENT_SIZE_MAX >> 20));
	rc = map_new_of(&s, hugepages);
	if (rc != 0)
		return rc;
	place(&s);
	prefault(&s);
	s.header.magic = SHM_MAGIC;
	s.header.segment_size = s.size;
	s.header.flags = weir_doorbell_setup() ? SHM_FLAG_MEMBARRIER : 0;
	if (getrandom(&s.header.epoch, sizeof(s.header.epoch), 0) < 0)
		s.header.epoch =
			(uint64_t)(uintptr_t)s.bytes; /* not a secret */
	s.front->header = s.header;
	if (fcntl(s.fd, F_ADD_SEALS, SEALS) != 0) {
		rc = weir_fail(-errno,
			       "shm segment: cannot be sealed: %s; weir needs "
			       "Linux 5.1 or later",
			       strerror(errno));
		weir_shm_segment_close_fd(&s);
		weir_shm_segment_unmap(&s);
		return rc;
	}
	*segment = s;
	return 0;
}

/* ---- the peer's -------------------------------------------------------------- */

static bool
class_ok(const struct shm_header *h, unsigned int i)
{
	const struct shm_class *c = &h->classes[i];
	uint64_t room = h->segment_size - h->cells_offset;

	/* All sums in 64 bits: stride and count are 32 bits each. */
	if (c->count == 0 || c->count > SHM_CELLS_MAX || c->size == 0 ||
	    c->size > c->stride || c->size > WEIR_MSG_SIZE_LIMIT ||
	    c->first % SHM_GROUP_SIZE != 0 || c->first > SHM_BODIES_MAX ||
	    c->first + c->count > h->body_limit ||
	    c->offset < h->cells_offset || c->offset >= h->segment_size ||
	    (uint64_t)c->stride * c->count > room ||
	    c->offset + (uint64_t)c->stride * (c->count - 1) + c->size >
		    h->segment_size)
		return false;
	if (i == 0)
		return c->first == 0 && c->count == h->cell_count &&
		       c->size == SHM_INLINE_SIZE &&
		       c->stride == SHM_CELL_SIZE &&
		       c->offset == h->cells_offset +
					    offsetof(struct shm_cell, data);
	return c->first >= c[-1].first + c[-1].count && c->size > c[-1].size &&
	       c->stride % 8 == 0 && c->offset % 8 == 0 &&
	       c->offset >= h->cells_offset +
				    (uint64_t)h->cell_count * SHM_CELL_SIZE;
}

int
weir_shm_header_check(const struct shm_header *h, uint64_t size, uint64_t epoch)
{
	if (h->magic != SHM_MAGIC || h->version != SHM_VERSION ||
	    h->header_size != sizeof(*h) || h->segment_size != size ||
	    h->epoch != epoch || (h->flags & ~SHM_FLAG_MEMBARRIER) != 0 ||
	    h->returns_count != SHM_BODIES_MAX)
		return -EPROTO;
	if (h->cell_count == 0 || h->cell_count > SHM_CELLS_MAX ||
	    (h->cell_count & (h->cell_count - 1)) != 0 ||
	    h->body_limit > SHM_BODIES_MAX ||
	    h->body_limit % SHM_GROUP_SIZE != 0 ||
	    h->msg_size_max > WEIR_MSG_SIZE_LIMIT || h->class_count == 0 ||
	    h->class_count > SHM_CLASSES_MAX)
		return -EPROTO;
	if (size > SHM_SEGMENT_SIZE_MAX ||
	    h->cells_offset < sizeof(struct shm_front) ||
	    h->cells_offset % SHM_CELL_SIZE != 0 || h->cells_offset >= size)
		return -EPROTO;
	for (unsigned int i = 0; i < h->class_count; i++)
		if (!class_ok(h, i))
			return -EPROTO;
	return 0;
}

/* An unsealed file could be cut (SIGBUS) or written by others; one that is
 * not a memfd has no seals, or only the one that forbids all others. */
static int
file_check(int fd, uint64_t size)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS)
		return -EPROTO;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != size)
		return -EPROTO;
	if (size < sizeof(struct shm_front) || size > SHM_SEGMENT_SIZE_MAX)
		return -EPROTO;
	return 0;
}

int
weir_shm_segment_attach(int fd, uint64_t size, uint64_t epoch,
			struct shm_segment *segment)
{
	struct shm_segment s = { .fd = -1, .size = size };
	int rc = file_check(fd, size);
	void *base;

	if (rc != 0)
		return rc;
	/* Of a file of huge pages this sets aside those that it lacks, and the
	 * seals keep holes out: so none is missing when we read (SIGBUS). */
	base = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return errno == ENOMEM ? -ENOMEM : -EPROTO;
	s.bytes = base;
	/* Everything is computed from this copy: a hostile peer may change
	 * the original at any time. */
	memcpy(&s.header, &s.front->header, sizeof(s.header));
	rc = weir_shm_header_check(&s.header, size, epoch);
	if (rc != 0) {
		weir_shm_segment_unmap(&s);
		return rc;
	}
	*segment = s;
	return 0;
}

void
weir_shm_segment_close_fd(struct shm_segment *segment)
{
	if (segment->fd >= 0)
		close(segment->fd);
	segment->fd = -1;
}

void
weir_shm_segment_disown(struct shm_segment *segment)
{
	if (segment->bytes != NULL)
		(void)mmap(
			segment->bytes, segment->size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
			-1, 0);
}

void
weir_shm_segment_unmap(struct shm_segment *segment)
{
	if (segment->bytes != NULL)
		munmap(segment->bytes, segment->size);
	segment->bytes = NULL;
}
