/*
 * test/fuzz/fuzz_core.c
 *	  Fuzz target: one core, fed whatever its peers could say, at any time.
 *
 * The input is a script: a few bytes of configuration, then steps (fuzz_core.h).
 * Messages are those of peers that know this start and mostly keep the rules of
 * the format, because a core that drops everything shows nothing; what its
 * peers say need not make sense together.  The disk is a real state file image,
 * written by store_encode() and read by store_choose().
 *
 * A managed member's host asks for what it likes, and what it says of its data, and what
 * peers say of theirs, may be anything that can be said.
 *
 * After every call: the contract of the output, V and M against the disk, what
 * each message says, promises kept, and a lease, a leadership and a promotion only on
 * what a majority has really said (watch.c keeps that account).
 */
#include <string.h>

#include "../../node/store.h"
#include "fuzz.h"
#include "fuzz_core.h"

static World world;

/* ---- the disk ---- */

static void
write_disk(World *w, const RaftSaved *saved)
{
	StoreIdentity identity = {FUZZ_CLUSTER, w->config.node_id};

	store_encode(&identity, saved, w->image + (size_t) w->next_slot * STORE_SLOT_STRIDE);
	w->next_slot = 1 - w->next_slot;
	w->disk = *saved;
}

/* ---- the host ---- */

static uint64_t
host_now(Member *member)
{
	return ((const World *) member->context)->now;
}

static void
host_decided(Member *member)
{
	watch_call(member->context, member->received);
}

static MemberSave
host_save(Member *member)
{
	World *w = member->context;

	if (w->dies == DIES_BEFORE_SAVE)
		return MEMBER_NOT_SAVED; /* nothing of it is shown or sent */
	write_disk(w, &member->raft.saved);
	return MEMBER_SAVED;
}

static void
host_show(Member *member)
{
	World *w = member->context;

	if (w->dies == DIES_AFTER_SAVE)
		member_end(member);
	else if (w->dies != STARTS)
		watch_shown(w);
}

static void
host_send(Member *member, const RaftMessage *m)
{
	World *w = member->context;

	watch_sent(w, m, member->received);
	w->sent[w->n_sent % SENT_KEPT] = *m;
	w->n_sent++;
}

static const MemberHost host = {
	.now = host_now,
	.decided = host_decided,
	.save = host_save,
	.show = host_show,
	.send = host_send,
};

/* Start from what the file holds, or, "wiped", from nothing. */
static void
start(World *w, bool wiped, bool damaged)
{
	StoreIdentity identity = {FUZZ_CLUSTER, w->config.node_id};
	StoreIdentity found;
	StoreVerdict  verdict;
	RaftSaved	  loaded;
	RaftSaved	  first;
	int			  slot = 0;

	if (!wiped)
	{
		verdict = store_choose(w->image, sizeof(w->image), &identity, &loaded, &slot, &found);
		CHECK(verdict == (damaged ? STORE_ONE_SLOT_BAD : STORE_GOOD), "the store can be read");
		w->next_slot = 1 - slot;
	}
	raft_first_record(wiped ? NULL : &loaded, damaged, &w->config, &first);
	w->config.incarnation = w->config.incarnation * 5 + 1;
	if (wiped)
	{
		store_encode(&identity, &first, w->image);
		memcpy(w->image + STORE_SLOT_STRIDE, w->image, STORE_SLOT_SIZE);
		w->next_slot = 1;
	}
	memset(&w->member, 0xA5, sizeof(w->member));
	write_disk(w, &first);
	w->dies = STARTS;
	member_start(&w->member, &host, w, &w->config, &first);
	watch_start(w, wiped || damaged);
}

/* ---- one call ---- */

static Member *
begin_call(World *w, uint8_t dies)
{
	w->before = w->member.raft;
	w->dies = dies;
	if (w->n_calls++ % 16 == 0) /* the core must fill it in; it is large */
		memset(&w->member.output, 0xA5, sizeof(w->member.output));
	w->member.output.save = w->member.output.heard = false;
	w->member.output.n_messages = w->member.output.n_events = 0;
	return &w->member;
}

/* Whoever died in a call starts again. */
static void
end_call(World *w)
{
	if (w->member.state == MEMBER_ENDED)
		start(w, false, false);
}

static void
tick(World *w, uint8_t dies)
{
	member_tick(begin_call(w, dies), w->now);
	CHECK(w->member.state == MEMBER_ENDED || member_deadline(&w->member) > w->now, "nothing is due after a tick");
	end_call(w);
}

static void
receive(World *w, const RaftMessage *m, uint8_t dies)
{
	MessageEnvelope envelope = {.cluster_digest = FUZZ_CLUSTER};
	RaftMessage		decoded;
	uint8_t			bytes[MESSAGE_SIZE];
	bool			possible = message_is_possible(m);

	/* Past the codec as well: the core asks again whether it is possible. */
	if (m->type >= RAFT_GREETING && m->type < RAFT_MESSAGE_TYPES && m->boot > 0 && m->sequence > 0)
	{
		message_encode(m, &envelope, bytes);
		CHECK((message_decode(bytes, sizeof(bytes), &envelope, &decoded) == MESSAGE_OK) == possible,
			  "the codec and message_is_possible() agree");
	}
	member_receive(begin_call(w, dies), m);
	watch_received(w, m);
	end_call(w);
}

/* ---- what peers say ---- */

/* Numbers at the edges, and small ones. */
static uint64_t
wild_number(uint8_t choice)
{
	static const uint64_t wild[] = {0, 1, 2, INT64_MAX, (uint64_t) INT64_MAX - 1, UINT64_MAX,
									UINT64_C(1) << 63, RAFT_MAX_PROMISE, RAFT_MAX_PROMISE + 1};

	return choice < 128 ? wild[choice % (sizeof(wild) / sizeof(wild[0]))] : (uint64_t) (choice - 128);
}

static uint64_t
near(uint64_t number, uint8_t choice)
{
	switch (choice % 8)
	{
		case 0:
			return number + 1;
		case 1:
			return number > 0 ? number - 1 : 0;
		case 2:
			return number + 2 + choice / 8;
		default:
			return number;
	}
}

static uint64_t
promise_of(const World *w, uint8_t choice)
{
	const RaftTimeouts *t = &w->config.timeouts;

	switch (choice % 8)
	{
		case 0:
			return 2 * t->min_timeout;
		case 1:
			return t->min_timeout / 2 + 1;
		case 2:
			return choice > 200 ? RAFT_MAX_PROMISE : 1;
		default:
			return t->min_timeout;
	}
}

/* ---- data ---- */

/* Around the claim, small ones, and those at the edges. */
static uint32_t
timeline_of(const World *w, uint8_t choice)
{
	static const uint32_t wild[] = {0, 1, RAFT_MAX_TIMELINE, RAFT_MAX_TIMELINE - 1, UINT32_C(0x80000000), UINT32_MAX};

	if (choice >= 240)
		return wild[choice % (sizeof(wild) / sizeof(wild[0]))];
	return choice < 192 ? w->member.raft.saved.claim + choice % 4 - choice / 64 : choice % 8;
}

static RaftPosition
position_of(const World *w, uint8_t timeline, uint8_t lsn)
{
	RaftPosition position = {timeline_of(w, timeline), lsn};

	if (lsn == 255)
		position.epoch |= UINT64_C(1) << 40;
	return position;
}

/* It does not change here: the accounts of watch.c are those of one list. */
static RaftList
list_of(const RaftConfig *config)
{
	return (RaftList){.number = 2, .term = 1, .now = config->members, .digest = raft_list_digest(config, config->members)};
}

/* What a peer says of its data, as its type lets it; with 0, 0 it has all that was claimed. */
static void
fill_told(const World *w, RaftMessage *m, Input *input)
{
	RaftTold *told = &m->told;
	uint8_t	  flags;
	uint8_t	  choice;

	if (!w->config.managed || m->type == RAFT_GREETING || m->type == RAFT_GREETING_CONFIRM || m->type == RAFT_TRANSFER)
		return;
	flags = next_byte(input);
	choice = next_byte(input);
	told->managed = flags != 255;
	if (!told->managed)
		return;
	told->server = (RaftServer) ((flags + 1) % RAFT_SERVERS);
	told->known = (flags & 0x04) == 0;
	told->gone = (flags & 0x08) != 0;
	told->rebuilding = (flags & 0x10) != 0;
	told->claim = timeline_of(w, choice);
	told->claimed = told->claim != 0 && choice % 16 != 15;
	told->port = (uint16_t) (flags << 8 | choice);
	told->promoted = m->type == RAFT_HEARTBEAT && told->claimed && (flags & 0x20) != 0;
	told->open = told->promoted && (flags & 0x40) != 0;
	told->forgotten = m->type == RAFT_HEARTBEAT && (flags & 0x80) != 0;
	if (told->claimed)
		told->list = list_of(&w->config);
	told->pause = flags;
	told->system_id = choice % 32 == 30 ? choice % 2 : FUZZ_SYSTEM;
}

/* One deviation from what an honest peer says. */
static void
spoil(RaftMessage *m, uint8_t how, uint8_t choice)
{
	switch (how % 12)
	{
		case 0:
			m->echo_boot = wild_number(choice);
			break;
		case 1:
			m->echo_incarnation++;
			break;
		case 2:
			m->boot = wild_number(choice);
			break;
		case 3:
			m->incarnation++;
			break;
		case 4:
			m->list_digest = choice;
			break;
		case 5:
			m->term = wild_number(choice);
			break;
		case 6:
			m->from = choice - 64;
			break;
		case 7:
			m->to = choice - 64;
			break;
		case 8:
			m->sequence = wild_number(choice);
			break;
		case 9:
			m->round = wild_number(choice);
			break;
		case 10:
			m->promise = wild_number(choice);
			break;
		default:
			m->type = (RaftMessageType) (choice % 14);
			break;
	}
}

static void
fill_request(World *w, RaftMessage *m, Input *input)
{
	const Raft *r = &w->member.raft;
	uint8_t		choice = next_byte(input);

	m->position = (RaftPosition){choice % 3, choice / 64};
	if (w->config.managed)
		m->position = position_of(w, choice, next_byte(input));
	switch (m->type)
	{
		case RAFT_PRE_VOTE_REQUEST:
			m->round = choice;
			m->asked_term = m->term + (choice < 240);
			break;
		case RAFT_VOTE_REQUEST:
			m->promise = promise_of(w, next_byte(input));
			if (choice % 2 != 0)
			{
				m->replaced_leader = choice % 4 == 1 ? r->promised_leader : m->from;
				m->replaced_term = m->replaced_leader == RAFT_NONE ? 0 : near(r->promised_term, next_byte(input));
			}
			break;
		default: /* a heartbeat */
			m->promise = promise_of(w, next_byte(input));
			m->round = near(w->peer[m->from].round, next_byte(input));
			w->peer[m->from].round = m->round;
			break;
	}
}

static void
fill_answer(World *w, RaftMessage *m, Input *input)
{
	const Raft *r = &w->member.raft;
	uint8_t		choice = next_byte(input);

	m->granted = choice % 4 != 0;
	if (!m->granted)
		m->leader_id = (int32_t) (choice / 4 % (w->config.list_size + 1)) - 1;
	m->asked_term = near(r->saved.term + (m->type == RAFT_PRE_VOTE_ANSWER), next_byte(input));
	switch (m->type)
	{
		case RAFT_PRE_VOTE_ANSWER:
			m->round = near(r->round, next_byte(input));
			break;
		case RAFT_HEARTBEAT_ANSWER:
			m->round = near(r->heartbeat_round, next_byte(input));
			m->position = (RaftPosition){choice % 3, choice / 64};
			return;
		default:
			break;
	}
	if (!m->granted)
		m->promise = promise_of(w, next_byte(input));
}

static void
fill_greeting_answer(World *w, RaftMessage *m, Input *input)
{
	uint8_t choice = next_byte(input);

	m->max_timeout = w->config.timeouts.max_timeout * (1 + choice % 2);
	m->promise = promise_of(w, choice);
	if (choice < 160)
		return; /* remembers nothing of this member */
	m->remembered_boot = near(w->member.raft.saved.boot, next_byte(input));
	m->remembered_incarnation = w->config.incarnation + (choice > 240);
	m->remembered_save = near(w->member.raft.saved.save_number, next_byte(input));
}

/* A message as a peer would put it together that knows this start. */
static RaftMessage
make_message(World *w, RaftMessageType type, Input *input)
{
	const Raft *r = &w->member.raft;
	RaftMessage m;
	uint8_t		who = next_byte(input);
	uint8_t		how = next_byte(input);

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.from = (int32_t) (who % w->config.list_size);
	m.to = w->config.node_id;
	m.abstaining = how % 16 == 15;
	m.may_lead = how % 2 == 0;
	m.list_digest = w->config.list_digest;
	m.boot = w->peer[m.from].boot;
	m.incarnation = w->peer[m.from].incarnation;
	m.echo_boot = r->saved.boot;
	m.echo_incarnation = w->config.incarnation;
	m.sequence = ++w->sequence;
	m.save_number = w->sequence;
	m.term = near(r->saved.term, next_byte(input));
	m.leader_id = m.replaced_leader = RAFT_NONE;
	switch (type)
	{
		case RAFT_GREETING_ANSWER:
			fill_greeting_answer(w, &m, input);
			break;
		case RAFT_PRE_VOTE_REQUEST:
		case RAFT_VOTE_REQUEST:
		case RAFT_HEARTBEAT:
			fill_request(w, &m, input);
			break;
		case RAFT_PRE_VOTE_ANSWER:
		case RAFT_VOTE_ANSWER:
		case RAFT_HEARTBEAT_ANSWER:
			fill_answer(w, &m, input);
			break;
		default:
			break;
	}
	fill_told(w, &m, input);
	if (how >= 232)
		spoil(&m, how - 232, next_byte(input));
	return m;
}

/* An honest answer to something that this member has sent, late or not. */
static bool
make_answer(World *w, RaftMessage *m, Input *input)
{
	uint8_t			   choice = next_byte(input);
	uint8_t			   back = next_byte(input);
	const RaftMessage *asked = &w->sent[(w->n_sent - 1 - back % SENT_KEPT) % SENT_KEPT];

	if (back % SENT_KEPT >= w->n_sent)
		return false;
	memset(m, 0, sizeof(*m));
	switch (asked->type)
	{
		case RAFT_GREETING:
			m->type = RAFT_GREETING_ANSWER;
			m->max_timeout = w->config.timeouts.max_timeout;
			break;
		case RAFT_PRE_VOTE_REQUEST:
			m->type = RAFT_PRE_VOTE_ANSWER;
			break;
		case RAFT_VOTE_REQUEST:
			m->type = RAFT_VOTE_ANSWER;
			break;
		case RAFT_HEARTBEAT:
			m->type = RAFT_HEARTBEAT_ANSWER;
			break;
		default:
			return false;
	}
	m->from = asked->to;
	m->to = asked->from;
	m->may_lead = true;
	m->abstaining = choice % 16 == 15;
	m->list_digest = w->config.list_digest;
	m->boot = w->peer[m->from].boot;
	m->incarnation = w->peer[m->from].incarnation;
	m->echo_boot = asked->boot;
	m->echo_incarnation = asked->incarnation;
	m->sequence = ++w->sequence;
	m->save_number = w->sequence;
	m->round = asked->round;
	m->leader_id = m->replaced_leader = RAFT_NONE;
	m->term = asked->term + (choice % 32 == 31);
	if (asked->type != RAFT_GREETING)
	{
		m->asked_term = asked->type == RAFT_PRE_VOTE_REQUEST ? asked->asked_term : asked->term;
		m->granted = choice % 8 != 7;
	}
	if (w->config.managed)
		m->told = (RaftTold){.managed = true, .known = true, .server = RAFT_SERVER_RECOVERY, .system_id = FUZZ_SYSTEM, .claimed = asked->told.claimed, .claim = asked->told.claim};
	return true;
}

/* ---- the steps ---- */

static void
change_timeouts(World *w, uint8_t choice)
{
	RaftTimeouts t = w->config.timeouts;

	t.min_timeout = LONGEST_MIN_TIMEOUT / 16 * (1 + choice % 16);
	t.max_timeout = 2 * t.min_timeout;
	t.heartbeat_interval = t.min_timeout / 4;
	w->config.timeouts = t;
	member_reload(&w->member, &t, w->member.raft.may_lead);
}

static void
restart(World *w, uint8_t how)
{
	uint8_t *newest = w->image + (size_t) (1 - w->next_slot) * STORE_SLOT_STRIDE;

	if (how % 8 == 7)
		start(w, true, false);
	else if (how % 8 == 6)
	{
		newest[how % STORE_SLOT_SIZE] ^= 0x10;
		start(w, false, true);
	}
	else
		start(w, false, false);
}

/* What the host and the operator can do. */
static void
step_host(World *w, uint8_t op, Input *input)
{
	uint8_t			   choice = next_byte(input);
	RaftTransferResult result;
	const Raft		  *r = &w->before;

	(void) begin_call(w, DIES_NOT);
	switch (op)
	{
		case STEP_TRANSFER:
			result = member_transfer(&w->member, choice > 200 ? choice - 264 : choice % 8 - 1);
			CHECK((result == RAFT_TRANSFER_STARTED) == (w->member.output.n_messages == RAFT_TRANSFERS), "told to stand");
			break;
		case STEP_RESIGN:
			member_resign(&w->member);
			CHECK(w->member.raft.role == RAFT_FOLLOWER, "has resigned");
			break;
		case STEP_ADMIT:
			CHECK(member_admit(&w->member) == (r->saved.abstaining != RAFT_VOTING ||
											   (r->config.managed && r->role == RAFT_LEADER && r->saved.claim == 0)),
				  "admitted only if it abstains, or if its first claim waits for everyone");
			break;
		case STEP_MAY_LEAD:
			member_reload(&w->member, &w->config.timeouts, choice % 2 != 0);
			break;
		case STEP_POSITION:
			member_set_position(&w->member, (RaftPosition){choice % 3, choice / 64});
			break;
		case STEP_TIMEOUTS:
			change_timeouts(w, choice);
			break;
		case STEP_PEER_RESTARTS:
			w->peer[choice % w->config.list_size].boot++;
			w->peer[choice % w->config.list_size].incarnation += 7;
			w->peer[choice % w->config.list_size].round = 1;
			break;
		default:
			restart(w, choice);
			break;
	}
}

static RaftData
make_data(const World *w, Input *input)
{
	uint8_t	 flags = next_byte(input);
	uint8_t	 timeline = next_byte(input);
	RaftData data = {.server = (RaftServer) ((flags + 1) % RAFT_SERVERS), .system_id = FUZZ_SYSTEM};

	data.known = (flags & 0x04) == 0;
	data.foreign = (flags & 0x08) != 0;
	data.promoted = data.server == RAFT_SERVER_PRIMARY && (flags & 0x10) != 0;
	data.open = data.promoted && (flags & 0x20) != 0;
	if ((flags & 0xC0) == 0xC0)
		data.system_id = flags & 1;
	data.newest_timeline = timeline_of(w, timeline);
	data.position = position_of(w, (flags & 0xC0) == 0x40 ? (uint8_t) (timeline + 16) : timeline, next_byte(input));
	return data;
}

/* The last one as a rule that of the leader. */
static void
follow(World *w, uint8_t dies, Input *input)
{
	uint32_t	timelines[2 * RAFT_TIMELINES];
	uint8_t		n = next_byte(input) % (2 * RAFT_TIMELINES);
	const Raft *r = &w->member.raft;
	uint8_t		last;

	for (uint8_t i = 0; i < n; i++)
		timelines[i] = (uint32_t) i + 1;
	last = next_byte(input);
	timelines[n] = last >= 64 || r->leader_id == RAFT_NONE ? timeline_of(w, last) : r->peers[r->leader_id].told.claim;
	if (member_follow(begin_call(w, dies), timelines, n + UINT32_C(1)) && w->member.state == MEMBER_RUNS)
		watch_followed(w, timelines[n]);
}

static void
rebuild(World *w, uint8_t dies, Input *input)
{
	RaftRebuild	 how = (RaftRebuild) (next_byte(input) % RAFT_REBUILDS);
	uint8_t		 timeline = next_byte(input);
	RaftPosition floor = position_of(w, timeline, next_byte(input));

	if (member_rebuild(begin_call(w, dies), how, floor) && w->member.state == MEMBER_RUNS)
		watch_rebuilds(w, how);
}

static void
claim(World *w, uint8_t dies)
{
	RaftClaimResult result = member_claim(begin_call(w, dies));

	if (w->member.state == MEMBER_RUNS)
		watch_claimed(w, result);
}

static void
promote(World *w, uint8_t dies)
{
	uint32_t timeline = member_promote(begin_call(w, dies));

	if (w->member.state == MEMBER_RUNS)
		watch_promotes(w, timeline);
}

static void
forget(World *w, uint8_t choice)
{
	int32_t	 id = (int32_t) (choice % w->config.list_size);
	uint64_t members = raft_to_forget(&w->member.raft);

	CHECK((members & ~w->config.members) == 0, "members are to be forgotten");
	CHECK(raft_forgot(&w->member.raft, id) || !(members >> id & 1), "who is to be forgotten can be");
}

static void
pauses(World *w, uint8_t dies, bool wanted)
{
	RaftPauseResult result = member_pause(begin_call(w, dies), wanted);

	CHECK(raft_describe_pause(result)[0] != '\0', "words");
	if (w->member.state == MEMBER_RUNS && result == RAFT_PAUSE_TAKEN)
		CHECK(w->member.raft.role == RAFT_LEADER && raft_in_pause(&w->member.raft) == wanted, "who pauses");
}

/* What the host of a managed member asks. */
static void
step_data(World *w, uint8_t op, uint8_t dies, Input *input)
{
	uint8_t	 choice;
	RaftData data;

	if (!w->config.managed)
		return;
	switch (op)
	{
		case STEP_DATA:
			data = make_data(w, input);
			member_set_data(begin_call(w, dies), &data);
			break;
		case STEP_HELD:
			choice = next_byte(input);
			member_remember_held(begin_call(w, dies), position_of(w, choice, next_byte(input)));
			break;
		case STEP_CLAIM:
			claim(w, dies);
			break;
		case STEP_PROMOTE:
			promote(w, dies);
			break;
		case STEP_PROMOTED:
			member_promoted(begin_call(w, dies));
			break;
		case STEP_FOLLOW:
			follow(w, dies, input);
			break;
		case STEP_REBUILD:
			rebuild(w, dies, input);
			break;
		case STEP_REBUILT:
			if (member_rebuilt(begin_call(w, dies)) && w->member.state == MEMBER_RUNS)
				watch_rebuilt(w);
			break;
		case STEP_TRUST:
			(void) member_trust_data(begin_call(w, dies));
			break;
		case STEP_PAUSE:
			pauses(w, dies, next_byte(input) % 2 == 0);
			break;
		default:
			forget(w, next_byte(input));
			break;
	}
	end_call(w);
}

static void
step(World *w, Input *input)
{
	uint8_t		op = next_byte(input);
	uint8_t		dies = op / STEPS == DYING_BEFORE ? DIES_BEFORE_SAVE : op / STEPS == DYING_AFTER ? DIES_AFTER_SAVE :
																								   DIES_NOT;
	RaftMessage m;

	op %= STEPS;
	if (op < STEP_ANSWER)
	{
		m = make_message(w, (RaftMessageType) (RAFT_GREETING + op), input);
		receive(w, &m, dies);
	}
	else if (op == STEP_ANSWER || op == STEP_ANSWER_AGAIN)
	{
		if (make_answer(w, &m, input))
			receive(w, &m, dies);
	}
	else if (op == STEP_DEADLINE || op == STEP_DEADLINE_AGAIN)
	{
		if (raft_deadline(&w->member.raft) > w->now)
			w->now = raft_deadline(&w->member.raft);
		tick(w, dies);
	}
	else if (op == STEP_WAIT || op == STEP_WAIT_LONG)
		w->now += (uint64_t) next_byte(input) * (op == STEP_WAIT ? 500 : 20000);
	else if (op == STEP_TICK)
		tick(w, dies);
	else if (op < STEP_DATA)
		step_host(w, op, input);
	else
		step_data(w, op, dies, input);
}

/* Greet everyone, so that the input need not spell it out. */
static void
greet_all(World *w)
{
	RaftMessage m;

	for (uint32_t i = 0; i < w->config.list_size; i++)
	{
		static const uint8_t plain[8] = {0, 0, 3, 0, 0, 0, 0, 0}; /* all else is as mine */
		Input				 input = {plain, sizeof(plain)};

		if ((int32_t) i == w->config.node_id)
			continue;
		m = make_message(w, RAFT_GREETING_ANSWER, &input);
		m.from = (int32_t) i;
		m.boot = w->peer[i].boot;
		m.incarnation = w->peer[i].incarnation;
		receive(w, &m, DIES_NOT);
	}
}

/* The first store, as the program that makes one for a new cluster writes it. */
static void
begin_world(World *w, Input *input)
{
	static const uint32_t sizes[] = {3, 1, 2, 4, 5, 7, RAFT_MAX_NODES, 3};
	uint8_t				  choice = next_byte(input);
	uint8_t				  options;
	RaftConfig			 *c = &w->config;
	RaftSaved			  first;

	memset(w, 0, sizeof(*w));
	w->now = 1000000;
	c->list_size = sizes[choice % 8];
	c->node_id = (int32_t) (choice / 8 % c->list_size);
	c->members = c->wanted = c->list_size == 64 ? UINT64_MAX : (UINT64_C(1) << c->list_size) - 1;
	c->list_digest = FUZZ_LIST;
	c->incarnation = 1;
	c->seed = next_byte(input);
	options = next_byte(input);
	c->managed = (options & SCRIPT_MANAGED) != 0;
	c->may_lead = true;
	c->timeouts = (RaftTimeouts){200000, 400000, 50000, 100000};
	CHECK(raft_check_config(c) == NULL, "the configuration");
	for (int i = 0; i < RAFT_MAX_NODES; i++)
	{
		w->peer[i].boot = 1;
		w->peer[i].incarnation = 100 + (uint64_t) i;
		w->peer[i].round = 1;
	}

	first = (RaftSaved){.save_number = 1, .voted_for = RAFT_NONE, .list_digest = c->list_digest, .list_size = c->list_size};
	if (choice >= 192) /* near the end of all terms */
		first.term = RAFT_MAX_TERM - choice % 4;
	if (c->managed && (options & SCRIPT_CLAIMED) != 0)
	{
		first.claim = FUZZ_CLAIM;
		first.system_id = FUZZ_SYSTEM;
		first.list = list_of(c);
	}
	write_disk(w, &first);
	memcpy(w->image + STORE_SLOT_STRIDE, w->image, STORE_SLOT_SIZE);
	start(w, choice >= 128 && choice < 160, false);
	if ((options & SCRIPT_GREETED) != 0)
		greet_all(w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input input = {data, size};

	begin_world(&world, &input);
	for (int steps = 0; steps < 1000 && input.size > 0; steps++)
		step(&world, &input);
	return 0;
}
