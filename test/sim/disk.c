/*
 * test/sim/disk.c
 *	  What happens to a record between core and state file.
 *
 * The image of a state file is kept byte for byte and laid out, chosen from and
 * judged by the real store_encode() and store_choose(); only the system calls of
 * node/store.c are replaced.
 */
#include "checker.h"

#include <assert.h>
#include <string.h>

void
disk_init(World *w, Node *n)
{
	(void) w;
	n->disk.save_min = 100;
	n->disk.save_max = 400;
}

static StoreIdentity
identity_of(const Node *n)
{
	StoreIdentity identity = {.cluster_digest = SIM_CLUSTER, .node_id = n->id};

	return identity;
}

uint64_t
disk_latency(World *w, Node *n)
{
	if (n->disk.slow_ppm != 0 && chance(w, n->disk.slow_ppm))
	{
		w->coverage[COVER_SLOW_SAVES]++;
		return between(w, n->disk.save_max, n->disk.slow_max);
	}
	return between(w, n->disk.save_min, n->disk.save_max);
}

bool
disk_fails(World *w, Node *n)
{
	if (n->disk.fail_next)
	{
		n->disk.fail_next = false;
		return true;
	}
	return n->disk.fail_ppm != 0 && chance(w, n->disk.fail_ppm);
}

/* The verdict, the record that counts, and where the next one goes. */
StoreVerdict
disk_open(World *w, Node *n, RaftSaved *saved)
{
	StoreIdentity identity = identity_of(n);
	StoreIdentity found;
	StoreVerdict  verdict;
	int			  slot;

	(void) w;
	verdict = store_choose(n->disk.image, STORE_FILE_SIZE, &identity, saved, &slot, &found);
	if (verdict == STORE_GOOD || verdict == STORE_ONE_SLOT_BAD)
		n->disk.next_slot = 1 - slot;
	return verdict;
}

static void
read_back(World *w, Node *n)
{
	StoreVerdict verdict = disk_open(w, n, &n->durable);

	assert(verdict == STORE_GOOD || verdict == STORE_ONE_SLOT_BAD);
	(void) verdict;
}

void
disk_write(World *w, Node *n, const RaftSaved *saved)
{
	StoreIdentity identity = identity_of(n);

	store_encode(&identity, saved, n->disk.image + n->disk.next_slot * STORE_SLOT_STRIDE);
	read_back(w, n);
	if (!n->disk.lies)
		memcpy(n->disk.kept, n->disk.image, STORE_FILE_SIZE);
}

void
disk_create(World *w, Node *n, const RaftSaved *saved)
{
	StoreIdentity identity = identity_of(n);

	n->disk.exists = true;
	memset(n->disk.image, 0, STORE_FILE_SIZE);
	store_encode(&identity, saved, n->disk.image);
	store_encode(&identity, saved, n->disk.image + STORE_SLOT_STRIDE);
	read_back(w, n);
	memcpy(n->disk.kept, n->disk.image, STORE_FILE_SIZE);
}

/* The first bytes of the new record over the old one. */
void
disk_tear(World *w, Node *n, const RaftSaved *saved)
{
	StoreIdentity identity = identity_of(n);
	uint8_t		  slot[STORE_SLOT_SIZE];
	size_t		  length = (size_t) between(w, 1, STORE_SLOT_SIZE - 1);

	store_encode(&identity, saved, slot);
	memcpy(n->disk.image + n->disk.next_slot * STORE_SLOT_STRIDE, slot, length);
	TRACE(w, BIT(n - w->node), "%zu bytes of a record are on disk", length);
}

/* A save that failed: nothing, all, or a part of it may be on disk. */
void
disk_fail(World *w, Node *n, const RaftSaved *saved)
{
	switch (between(w, 0, 2))
	{
		case 0:
			break;
		case 1:
			disk_write(w, n, saved);
			break;
		default:
			disk_tear(w, n, saved);
			break;
	}
}

void
disk_wipe(World *w, int i)
{
	assert(!w->node[i].up);
	TRACE(w, BIT(i), "its state file is wiped");
	w->coverage[COVER_WIPES]++;
	w->node[i].disk.exists = false;
	/* A copy of the life before cannot be told from a newer one: not promised. */
	w->node[i].disk.has_copy = false;
	checker_lost_state(w, i);
}

/* The newer slot goes bad. */
void
disk_rot(World *w, int i)
{
	Node  *n = &w->node[i];
	size_t at = (size_t) (1 - n->disk.next_slot) * STORE_SLOT_STRIDE;

	assert(!n->up);
	TRACE(w, BIT(i), "the newer slot of its state file rots");
	w->coverage[COVER_ROTS]++;
	/* What has rotted may be in the copy, and peers may never have heard of it. */
	n->disk.has_copy = false;
	n->disk.image[at + between(w, 0, STORE_SLOT_SIZE - 1)] ^= (uint8_t) between(w, 1, 255);
	checker_lost_state(w, i);
}

void
disk_keep_copy(World *w, int i)
{
	Disk *disk = &w->node[i].disk;

	TRACE(w, BIT(i), "its state file is copied");
	memcpy(disk->copy, disk->image, STORE_FILE_SIZE);
	disk->has_copy = true;
}

void
disk_restore_copy(World *w, int i)
{
	Disk *disk = &w->node[i].disk;

	assert(!w->node[i].up && disk->has_copy);
	TRACE(w, BIT(i), "an old copy of its state file is put back");
	w->coverage[COVER_OLD_COPIES]++;
	memcpy(disk->image, disk->copy, STORE_FILE_SIZE);
	checker_lost_state(w, i);
}

/* Does every other member remember its last save, whoever answers first? */
bool
disk_is_remembered(const World *w, int i)
{
	for (int k = 0; k < w->n; k++)
	{
		if (k != i && (!w->node[k].up ||
					   w->node[k].member.raft.peers[i].save_number < w->node[i].durable.save_number))
			return false;
	}
	return true;
}
