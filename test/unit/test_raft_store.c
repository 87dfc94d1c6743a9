/*
 * test/unit/test_raft_store.c
 *	  Store and core together: what a member may still do with a state file that
 *	  is torn, rotten or another's.  test_store.c has the store alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../node/store.h"
#include "fixture.h"

static World		 world;
static World *const	 w = &world;
static uint8_t		 image[STORE_FILE_SIZE];
static StoreIdentity identity;

/* Node 0's file: the older record says nothing, the newer that it voted. */
static void
write_file(void)
{
	RaftSaved older;
	RaftSaved newer;

	world_prepare(w, 3);
	world_set_disk(w, 0, 4, RAFT_NONE);
	older = w->node[0].disk;
	newer = older;
	newer.save_number++;
	newer.term = 5;
	newer.voted_for = 1;
	newer.promise = MS(200);
	identity = (StoreIdentity){
		.cluster_digest = WORLD_CLUSTER, .node_id = 0};
	memset(image, 0, sizeof(image));
	store_encode(&identity, &older, image);
	store_encode(&identity, &newer, image + STORE_SLOT_STRIDE);
}

/* Start node 0 from the file, as the worker does, with the others healthy. */
static StoreVerdict
start_from_file(void)
{
	RaftSaved	  saved;
	StoreIdentity found;
	int			  slot;
	StoreVerdict  verdict = store_choose(image, sizeof(image), &identity, &saved, &slot, &found);

	if (verdict == STORE_GOOD || verdict == STORE_ONE_SLOT_BAD)
	{
		world_restore(w, 0, &saved);
		w->node[0].damaged = verdict == STORE_ONE_SLOT_BAD;
		world_start(w, 0);
		for (int i = 1; i < 3; i++)
		{
			world_set_disk(w, i, 5, 1);
			world_start(w, i);
		}
		world_run(w, MS(20));
	}
	return verdict;
}

static bool
votes_for(int candidate, uint64_t term)
{
	RaftMessage m = world_vote_request(w, candidate, 0, term);

	world_inject(w, &m);
	return world_sent(w, 0, RAFT_VOTE_ANSWER, candidate)->granted;
}

static void
whole_file_keeps_the_vote(void **state)
{
	(void) state;
	write_file();
	assert_int_equal(start_from_file(), STORE_GOOD);
	assert_int_equal(w->node[0].disk.abstaining, RAFT_VOTING);
	world_advance(w, MS(300));
	assert_false(votes_for(2, 5));
	assert_true(votes_for(1, 5));
}

/* The newest write was cut short, at any length. */
static void
state_torn(void **state)
{
	(void) state;
	for (size_t length = 0; length < STORE_SLOT_SIZE; length++)
	{
		uint8_t slot[STORE_SLOT_SIZE];

		write_file();
		memcpy(slot, image + STORE_SLOT_STRIDE, sizeof(slot));
		memset(image + STORE_SLOT_STRIDE, 0, sizeof(slot));
		memcpy(image + STORE_SLOT_STRIDE, slot, length);
		if (start_from_file() == STORE_GOOD)
		{
			/* The rest was zero anyway. */
			assert_int_equal(w->node[0].disk.voted_for, 1);
			continue;
		}
		assert_int_equal(w->node[0].disk.abstaining, RAFT_ABSTAIN_DAMAGED);
		assert_true(w->node[0].disk.term >= 4);
		world_advance(w, MS(300));
		assert_false(votes_for(2, 5));
		assert_false(votes_for(2, 6));
	}
}

/* The newer slot rots later: the older one shows a member that did not vote. */
static void
newer_slot_rots(void **state)
{
	(void) state;
	for (size_t at = 0; at < STORE_SLOT_SIZE; at++)
	{
		write_file();
		image[STORE_SLOT_STRIDE + at] ^= 0x10;
		switch (start_from_file())
		{
			case STORE_ONE_SLOT_BAD:
				assert_int_equal(w->node[0].disk.abstaining, RAFT_ABSTAIN_DAMAGED);
				world_advance(w, MS(300));
				assert_false(votes_for(2, 5));
				break;
			case STORE_GOOD: /* a byte that no field uses */
				assert_int_equal(w->node[0].disk.voted_for, 1);
				break;
			default: /* it does not take part */
				assert_false(w->node[0].running);
				break;
		}
	}
}

static void
state_corrupt(void **state)
{
	(void) state;
	write_file();
	image[20] ^= 1;
	image[STORE_SLOT_STRIDE + 20] ^= 1;
	assert_int_equal(start_from_file(), STORE_BAD);
	assert_false(w->node[0].running);
}

static void
copy_of_another_node(void **state)
{
	RaftSaved	  saved;
	StoreIdentity found;
	int			  slot;

	(void) state;
	write_file();
	identity.node_id = 2;
	assert_int_equal(store_choose(image, sizeof(image), &identity, &saved, &slot, &found),
					 STORE_OTHER_NODE);
	assert_int_equal(found.node_id, 0);
	identity.node_id = 0;
	identity.cluster_digest ^= 1;
	assert_int_equal(store_choose(image, sizeof(image), &identity, &saved, &slot, &found),
					 STORE_OTHER_CLUSTER);
	assert_false(w->node[0].running);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_file_keeps_the_vote),
		cmocka_unit_test(state_torn),
		cmocka_unit_test(newer_slot_rots),
		cmocka_unit_test(state_corrupt),
		cmocka_unit_test(copy_of_another_node),
	};

	return cmocka_run_group_tests_name("store and core", tests, NULL, NULL);
}
