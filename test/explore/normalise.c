/*
 * test/explore/normalise.c
 *	  Make two states that the election cannot tell apart the same bytes.
 *
 * Boot counters, incarnations, save numbers, sequence numbers and rounds are
 * only ever compared with others of their kind and raised by one.  So each kind
 * is renumbered 1, 2, 3, ... in its order, over all places where it occurs; 0
 * stays 0.  Sequence numbers are compared within one link only, and are renumbered
 * by link.  Terms stay as they are.  Datagrams on their way are sorted.
 *
 * What the code is about to overwrite before it can read it again is cleared
 * (the ballots of a follower, say): see forget_*().  That takes the code's word
 * for it; "--exact 1" leaves it alone.
 */
#include <stdlib.h>
#include <string.h>

#include "world.h"

/* Places that hold numbers of one kind. */
typedef struct Places
{
	int		 n;
	uint64_t seen[4]; /* numbers that occur, as bits */
	uint8_t *at[64];
} Places;

static void
start_places(Places *p)
{
	p->n = 0;
	memset(p->seen, 0, sizeof(p->seen));
}

static inline void
add_place(Places *p, uint8_t *at)
{
	p->at[p->n++] = at;
	p->seen[*at >> 6] |= UINT64_C(1) << (*at & 63);
}

/* The place of a number among those that occur, from 1. */
static uint8_t
rank(const Places *p, uint8_t number)
{
	uint64_t below = 0;
	int		 word = number >> 6;

	for (int k = 0; k < word; k++)
		below += (uint64_t) __builtin_popcountll(p->seen[k]);
	below += (uint64_t) __builtin_popcountll(p->seen[word] & ((UINT64_C(1) << (number & 63)) - 1));
	return (uint8_t) (below - (p->seen[0] & 1) + 1);
}

/* Are they 1, 2, 3, ... already?  Mostly they are. */
static bool
in_order(const Places *p)
{
	uint64_t next = (p->seen[0] | 1) + 1;

	return (p->seen[1] | p->seen[2] | p->seen[3]) == 0 && (next & (next - 1)) == 0;
}

static void
renumber(Places *p)
{
	if (in_order(p))
		return;
	for (int k = 0; k < p->n; k++)
	{
		if (*p->at[k] != 0)
			*p->at[k] = rank(p, *p->at[k]);
	}
}

static void
renumber_starts(World *w, int i)
{
	WorldNode *n = &w->node[i];
	Places	   boots;
	Places	   incarnations;
	Places	   saves;

	start_places(&boots);
	start_places(&incarnations);
	start_places(&saves);
	add_place(&boots, &n->boot);
	add_place(&incarnations, &n->incarnation);
	add_place(&saves, &n->save_number);
	add_place(&saves, &n->loaded_save_number);
	for (int j = 0; j < world_limits.nodes; j++)
	{
		WorldPeer *view = &w->node[j].peers[i];

		if (j == i)
			continue;
		add_place(&boots, &view->boot);
		add_place(&incarnations, &view->incarnation);
		add_place(&saves, &view->save_number);
		add_place(&saves, &view->earlier_save);
	}
	for (int k = 0; k < w->n_flight; k++)
	{
		WorldMessage *m = &w->flight[k];

		if (m->from == i)
		{
			add_place(&boots, &m->boot);
			add_place(&incarnations, &m->incarnation);
			add_place(&saves, &m->save_number);
		}
		else if (m->to == i)
		{
			add_place(&boots, &m->echo_boot);
			add_place(&incarnations, &m->echo_incarnation);
		}
	}
	renumber(&boots);
	renumber(&incarnations);
	renumber(&saves);
}

static bool
is_seen(const WorldPeer *view, uint8_t sequence)
{
	unsigned window = (unsigned) view->window[0] << 8 | view->window[1];
	int		 behind = view->sequence - sequence;

	return behind >= 0 && (behind >= 16 || (window >> behind & 1) != 0);
}

static void
set_window(WorldPeer *view, unsigned window)
{
	view->window[0] = (uint8_t) (window >> 8);
	view->window[1] = (uint8_t) window;
}

/*
 * The replay window of a link goes with its numbers: of those that can still
 * arrive it says whether they have come before, of all others nothing.  Numbers of
 * the sender's earlier starts are not in it: they fall before the window.
 */
static void
renumber_window(World *w, Places *places, int from, int to)
{
	WorldPeer *view = &w->node[to].peers[from];
	bool	   seen[WORLD_BAG] = {false};
	unsigned   window = view->sequence != 0;

	for (int k = 0; k < w->n_flight; k++)
	{
		const WorldMessage *m = &w->flight[k];

		seen[k] = m->from == from && m->to == to && m->boot == view->boot &&
				  is_seen(view, m->sequence);
	}
	renumber(places);
	for (int k = 0; k < w->n_flight; k++)
	{
		if (seen[k])
			window |= 1u << (view->sequence - w->flight[k].sequence);
	}
	set_window(view, window);
}

/* The sender goes on from the highest number of each link. */
static void
renumber_sequences(World *w, int i)
{
	for (int j = 0; j < world_limits.nodes; j++)
	{
		uint8_t highest = 0;
		Places	places;

		if (j == i)
			continue;
		start_places(&places);
		add_place(&places, &w->node[j].peers[i].sequence);
		for (int k = 0; k < w->n_flight; k++)
		{
			if (w->flight[k].from == i && w->flight[k].to == j)
				add_place(&places, &w->flight[k].sequence);
		}
		renumber_window(w, &places, i, j);
		for (int k = 0; k < places.n; k++)
			highest = *places.at[k] > highest ? *places.at[k] : highest;
		w->node[i].peers[j].sent = w->node[i].up ? highest : 0;
	}
}

static void
renumber_pre_votes(World *w, int i)
{
	Places places;

	start_places(&places);
	add_place(&places, &w->node[i].round);
	for (int k = 0; k < w->n_flight; k++)
	{
		WorldMessage *m = &w->flight[k];

		if ((m->type == RAFT_PRE_VOTE_REQUEST && m->from == i) ||
			(m->type == RAFT_PRE_VOTE_ANSWER && m->to == i))
			add_place(&places, &m->round);
	}
	renumber(&places);
}

/* With the rounds go their send times, of those that may still be answered. */
static void
renumber_heartbeats(World *w, int i)
{
	WorldNode *n = &w->node[i];
	uint8_t	   sent_at[WORLD_ROUNDS];
	uint8_t	   answerable[WORLD_ROUNDS + 1] = {0};
	Places	   places;

	start_places(&places);
	add_place(&places, &n->heartbeat_round);
	for (int j = 0; j < world_limits.nodes; j++)
	{
		if (j == i)
			continue;
		add_place(&places, &n->peers[j].acked_round);
		if (w->node[j].term_leader == i)
			add_place(&places, &w->node[j].heard_round);
	}
	for (int k = 0; k < w->n_flight; k++)
	{
		WorldMessage *m = &w->flight[k];

		if ((m->type == RAFT_HEARTBEAT && m->from == i) ||
			(m->type == RAFT_HEARTBEAT_ANSWER && m->to == i))
		{
			add_place(&places, &m->round);
			if (m->round <= WORLD_ROUNDS)
				answerable[m->round] = 1;
		}
	}
	if (n->heartbeat_round == 0 && places.seen[0] == 1)
		return;
	memcpy(sent_at, n->sent_at, sizeof(sent_at));
	memset(n->sent_at, 0, sizeof(n->sent_at));
	for (uint8_t old = 1; old <= WORLD_ROUNDS; old++)
	{
		if (answerable[old])
			n->sent_at[rank(&places, old) - 1] = sent_at[old - 1];
	}
	renumber(&places);
}

/* Few, and nearly sorted: insertion. */
static void
sort_flight(World *w)
{
	for (int k = 1; k < w->n_flight; k++)
	{
		WorldMessage m = w->flight[k];
		int			 at = k;

		while (at > 0 && memcmp(&w->flight[at - 1], &m, sizeof(m)) > 0)
		{
			w->flight[at] = w->flight[at - 1];
			at--;
		}
		w->flight[at] = m;
	}
}

/* ---- what nobody can read any more ---- */

/*
 * Save numbers are compared only when a member starts, with what others remember,
 * to find out that its state file is not the newest.  As long as no state file
 * is lost, it always is.
 */
static void
forget_saves(World *w)
{
	for (int i = 0; i < world_limits.nodes; i++)
	{
		WorldNode *n = &w->node[i];

		n->save_number = 2;
		n->loaded_save_number = n->up;
		for (int j = 0; j < world_limits.nodes; j++)
		{
			n->peers[j].save_number = n->peers[j].save_number != 0;
			n->peers[j].earlier_save = 0;
		}
	}
	for (int k = 0; k < w->n_flight; k++)
		w->flight[k].save_number = 1;
}

/* By role: raft_stand(), open_ballots() and raft_become_leader() set these anew. */
static void
forget_roles(WorldNode *n)
{
	bool leads = n->role == RAFT_LEADER;
	bool counts = leads || n->role == RAFT_CANDIDATE;

	if (leads)
		n->timer = 1;
	else
	{
		n->heartbeat_at = n->heartbeat_round = 0;
		memset(n->sent_at, 0, sizeof(n->sent_at));
		n->claim = n->elected_claim = 0;
	}
	if (!counts)
		n->asked_promise = n->own_bound_until = 0;
	if (n->role == RAFT_FOLLOWER)
		n->asked_at = 0;
	for (int j = 0; j < world_limits.nodes; j++)
	{
		WorldPeer *peer = &n->peers[j];

		if (!leads)
			peer->acked_round = peer->acked_at = peer->acked_claim = 0;
		else
			peer->ask_at = 0;
		if (leads || !counts)
			peer->voted_claim = 0;
		if (!counts)
			peer->bound_until = 0;
		if (n->role == RAFT_FOLLOWER)
			peer->ballot = peer->ask_at = 0;
	}
}

/* Answers to greetings count only while abstaining; promises until their end. */
static void
forget_answers(WorldNode *n)
{
	if (n->promised_until == 0)
	{
		n->promised_term = 0;
		n->promised_leader = RAFT_NONE;
	}
	if (n->abstaining != RAFT_VOTING)
		return;
	n->heard_from = 0;
	for (int j = 0; j < world_limits.nodes; j++)
		n->peers[j].term = n->peers[j].answer_term = n->peers[j].answer_promise = 0;
}

void
world_normalise(World *w)
{
	if (!world_limits.exact)
	{
		if (world_limits.wipes == 0)
			forget_saves(w);
		for (int i = 0; i < world_limits.nodes; i++)
		{
			if (!w->node[i].up)
				continue;
			forget_roles(&w->node[i]);
			forget_answers(&w->node[i]);
		}
	}
	for (int i = 0; i < world_limits.nodes; i++)
	{
		renumber_starts(w, i);
		renumber_sequences(w, i);
		renumber_pre_votes(w, i);
		renumber_heartbeats(w, i);
	}
	sort_flight(w);
}
