/*
 * test/explore/tell.c
 *	  A path through the small world, in words.
 */
#include <inttypes.h>

#include "world.h"

static void
tell_message(const RaftMessage *m)
{
	fprintf(world_trace, "%s, term %" PRIu64, message_type_name(m->type), m->term);
	if (m->asked_term != 0)
		fprintf(world_trace, ", %s for term %" PRIu64, m->granted ? "yes" : m->type == RAFT_PRE_VOTE_REQUEST ? "asks" :
																											   "no",
				m->asked_term);
	if (m->round != 0)
		fprintf(world_trace, ", round %" PRIu64, m->round);
	if (m->replaced_leader != RAFT_NONE)
		fprintf(world_trace, ", in place of node %" PRId32 " in term %" PRIu64, m->replaced_leader,
				m->replaced_term);
	if (m->promise != 0)
		fprintf(world_trace, ", promise %" PRIu64 " ms", m->promise / 1000);
	if (m->abstaining)
		fprintf(world_trace, ", abstaining");
	if (m->told.claimed)
		fprintf(world_trace, ", claim %" PRIu32, m->told.claim);
}

static void
tell_delivery(const World *w, const WorldStep *step)
{
	RaftMessage m;

	world_unpack_message(&w->flight[step->item], &m);
	fprintf(world_trace, "node %" PRId32 " receives from node %" PRId32 ": ", m.to, m.from);
	tell_message(&m);
	if (step->kind == STEP_DUPLICATE)
		fprintf(world_trace, " (a copy stays on its way)");
}

/* One line: what is done, in the state before it. */
void
world_tell_step(const World *w, const WorldStep *step)
{
	switch (step->kind)
	{
		case STEP_TIME_PASSES:
			fprintf(world_trace, "%d ms pass", WORLD_UNIT_MS);
			break;
		case STEP_TICK:
			fprintf(world_trace, "node %d does what is due", step->node);
			break;
		case STEP_TIME_OUT:
			fprintf(world_trace, "node %d: its timer runs out", step->node);
			break;
		case STEP_DELIVER:
		case STEP_DUPLICATE:
			tell_delivery(w, step);
			break;
		case STEP_RESTART:
			fprintf(world_trace, "node %d crashes and starts again", step->node);
			break;
		case STEP_START:
			fprintf(world_trace, "node %d starts", step->node);
			break;
		case STEP_WIPE:
			fprintf(world_trace, "node %d crashes, loses its state file and starts", step->node);
			break;
		case STEP_TRANSFER:
			fprintf(world_trace, "node %d is told to hand over to node %d", step->node, step->item);
			break;
		case STEP_CLAIM:
			fprintf(world_trace, "node %d claims a timeline", step->node);
			break;
		case STEP_PROMOTE:
			fprintf(world_trace, "node %d is promoted, and ends up as a standby again", step->node);
			break;
		case STEP_KINDS:
			break;
	}
	fprintf(world_trace, "%s\n", step->crash ? ", and crashes after the save" : "");
}

/* What a call of node i brought about. */
void
world_tell_output(const World *w, int i, const Raft *r, const RaftOutput *out)
{
	uint64_t lease = raft_lease_until(r);
	char	 words[256];

	for (uint32_t k = 0; k < out->n_events; k++)
		fprintf(world_trace, "        node %d: %s\n", i,
				raft_describe_event(&out->events[k], words, sizeof(words)));
	if (out->save)
		fprintf(world_trace, "        node %d saves: term %" PRIu64 ", vote %" PRId32 ", promise %" PRIu64 " ms%s\n",
				i, r->saved.term, r->saved.voted_for, r->saved.promise / 1000,
				r->saved.abstaining != RAFT_VOTING ? ", abstaining" : "");
	if (world_pack_end(lease) != w->node[i].shown_lease)
		fprintf(world_trace, "        node %d shows: lease for %d ms\n", i, world_pack_end(lease));
	for (uint32_t k = 0; k < out->n_messages; k++)
	{
		if (out->messages[k].type <= RAFT_GREETING_CONFIRM)
			continue;
		fprintf(world_trace, "        node %d sends to node %" PRId32 ": ", i, out->messages[k].to);
		tell_message(&out->messages[k]);
		fprintf(world_trace, "\n");
	}
}
