/*
 * node/member.c
 *	  A member: the core of the election, and the one place where what it decided is
 *	  saved, shown and sent, in this order.
 *
 * See member.h.  Must not use backend symbols, do input or output, or log.
 */
#include "member.h"

#include <assert.h>
#include <stddef.h>

/* ---- save, show, send ---- */

static void
show_and_send(Member *member)
{
	const RaftOutput *output = &member->output;

	member->host->show(member);

	/* a host that ends on the way, as they do in tests, sends no more */
	for (uint32_t i = 0; i < output->n_messages && member->state == MEMBER_RUNS; i++)
		member->host->send(member, &output->messages[i]);
	if (member->host->sent != NULL && member->state == MEMBER_RUNS)
		member->host->sent(member);
}

/*
 * THE CONTRACT of raft.h, kept here and nowhere else.
 */
static void
act(Member *member)
{
	MemberSave result = MEMBER_SAVED;

	if (member->host->decided != NULL)
		member->host->decided(member);
	if (member->output.save && member->state == MEMBER_RUNS)
		result = member->host->save(member);
	if (member->state != MEMBER_RUNS || result == MEMBER_NOT_SAVED)
		member->state = MEMBER_ENDED;
	else if (result == MEMBER_SAVING)
		member->state = MEMBER_WAITS;
	else
		show_and_send(member);
}

void
member_saved(Member *member, bool durable)
{
	assert(member->state == MEMBER_WAITS);
	member->state = durable ? MEMBER_RUNS : MEMBER_ENDED;
	if (durable)
		show_and_send(member);
}

/* ---- calls ---- */

/* Time does not go back for a core, whatever its host's clock does. */
static uint64_t
begin_call(Member *member, uint64_t now, const RaftMessage *received)
{
	assert(member->state == MEMBER_RUNS);
	if (now > member->now)
		member->now = now;
	member->received = received;
	return member->now;
}

static uint64_t
begin_call_now(Member *member)
{
	return begin_call(member, member->host->now(member), NULL);
}

void
member_start(Member *member, const MemberHost *host, void *context,
			 const RaftConfig *config, const RaftSaved *first)
{
	member->host = host;
	member->context = context;
	member->state = MEMBER_RUNS;
	member->received = NULL;
	member->now = host->now(member);
	member->output = (RaftOutput){.save = false};
	raft_init(&member->raft, config, first, member->now);
	host->show(member);
}

void
member_end(Member *member)
{
	member->state = MEMBER_ENDED;
}

uint64_t
member_deadline(const Member *member)
{
	return raft_deadline(&member->raft);
}

void
member_receive(Member *member, const RaftMessage *message)
{
	const RaftOutput *output = &member->output;
	uint64_t		  now = begin_call(member, member->host->now(member), message);

	raft_receive(&member->raft, now, message, &member->output);

	/* A flood is full of what changes nothing. */
	if (output->heard || output->save || output->n_messages > 0 || output->n_events > 0)
		act(member);
}

void
member_tick(Member *member, uint64_t read_by)
{
	/* what was received since may have taken long: more may have come meanwhile */
	if (read_by < member_deadline(member))
		return;
	raft_tick(&member->raft, begin_call(member, read_by, NULL), &member->output);
	act(member);
}

RaftTransferResult
member_transfer(Member *member, int32_t target)
{
	uint64_t		   now = begin_call_now(member);
	RaftTransferResult result = raft_transfer(&member->raft, now, target, &member->output);

	act(member);
	return result;
}

void
member_resign(Member *member)
{
	uint64_t now = begin_call_now(member);

	raft_resign(&member->raft, now, &member->output);
	act(member);
}

bool
member_admit(Member *member)
{
	uint64_t now = begin_call_now(member);
	bool	 admitted = raft_admit(&member->raft, now, &member->output);

	act(member);
	return admitted;
}

void
member_set_position(Member *member, RaftPosition position)
{
	raft_set_position(&member->raft, position);
}

/* ---- of a managed member ---- */

void
member_set_data(Member *member, const RaftData *data)
{
	(void) begin_call_now(member);
	raft_set_data(&member->raft, data, &member->output);
	act(member);
}

void
member_remember_held(Member *member, RaftPosition held)
{
	(void) begin_call_now(member);
	member->output = (RaftOutput){.save = false};
	raft_remember_held(&member->raft, held, &member->output);
	act(member);
}

RaftClaimResult
member_claim(Member *member)
{
	uint64_t		now = begin_call_now(member);
	RaftClaimResult result = raft_claim(&member->raft, now, &member->output);

	act(member);
	return result;
}

uint32_t
member_promote(Member *member)
{
	uint64_t now = begin_call_now(member);
	uint32_t timeline = raft_promote(&member->raft, now, &member->output);

	act(member);
	return timeline;
}

void
member_promoted(Member *member)
{
	(void) begin_call_now(member);
	raft_promoted(&member->raft, &member->output);
	act(member);
}

bool
member_follow(Member *member, const uint32_t *timelines, uint32_t n)
{
	bool follows;

	(void) begin_call_now(member);
	follows = raft_follow(&member->raft, timelines, n, &member->output);
	act(member);
	return follows;
}

bool
member_rebuild(Member *member, RaftRebuild how, RaftPosition floor)
{
	bool begins;

	(void) begin_call_now(member);
	begins = raft_rebuild(&member->raft, how, floor, &member->output);
	act(member);
	return begins;
}

bool
member_rebuilt(Member *member)
{
	bool ends;

	(void) begin_call_now(member);
	ends = raft_rebuilt(&member->raft, &member->output);
	act(member);
	return ends;
}

bool
member_trust_data(Member *member)
{
	bool trusted;

	(void) begin_call_now(member);
	trusted = raft_trust_data(&member->raft, &member->output);
	act(member);
	return trusted;
}

RaftPauseResult
member_pause(Member *member, bool pauses)
{
	uint64_t		now = begin_call_now(member);
	RaftPauseResult result = raft_pause(&member->raft, now, pauses, &member->output);

	act(member);
	return result;
}

bool
member_set_list(Member *member, const RaftConfig *config)
{
	uint64_t now = begin_call_now(member);
	bool	 taken = raft_set_list(&member->raft, now, config, &member->output);

	act(member);
	return taken;
}

void
member_reload(Member *member, const RaftTimeouts *timeouts, bool may_lead)
{
	bool could_lead = member->raft.may_lead;

	raft_set_timeouts(&member->raft, timeouts);
	raft_set_may_lead(&member->raft, may_lead);
	if (could_lead && !may_lead)
		member_resign(member);
}
