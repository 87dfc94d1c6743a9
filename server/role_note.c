/*
 * server/role_note.c
 *	  What this member held, in a file beside its state file, so that the election waits for
 *	  no disk (rule 22).
 *
 * See role.h and node/note.h.
 */
#include "postgres.h"

#include "node/note.h"
#include "server/promotion.h"
#include "server/role.h"
#include "server/settings.h"

/* How often it is written while something moves, us. */
#define WRITE_INTERVAL UINT64CONST(1000000)

static Note	  note; /* as it is in the file */
static uint64 written_at;
static uint64 failed_at; /* logged; see once_a_minute.h */

static bool
whose(char *directory, StoreIdentity *identity)
{
	memset(identity, 0, sizeof(*identity));
	identity->node_id = settings.node_id;
	identity->cluster_digest = cluster_text_digest(settings.cluster_name);
	return settings_state_directory(directory, STORE_PATH_SIZE);
}

void
role_note_begin(void)
{
	char		  directory[STORE_PATH_SIZE];
	StoreIdentity identity;
	Words		  words;

	words_clear(&words);
	memset(&note, 0, sizeof(note));
	if (whose(directory, &identity) && note_read(directory, &identity, &note, &words) == NOTE_BAD)
		role_say_failed(WARNING, &failed_at, "the note of what this member held is not used", &words);
	if (role.wrote_on == 0 && !promotion_of_copy())
		role.wrote_on = note.wrote_on;
	role.leading.standing_before = note.standing_before;
}

/* What a member that begins has to know, once; true: it was told. */
bool
role_note_tell(void)
{
	ExchangeQuestion question = {.kind = EXCHANGE_REMEMBER, .node = RAFT_NONE, .held = note.held};
	uint32_t		 ignored;

	if (role.noted)
		return false;
	if (role.raft.saved.rebuild != RAFT_INTACT)
	{
		/* what was held before is the floor of the rebuild by now */
		role.noted = true;
		note.held = (RaftPosition){0, 0};
		return false;
	}
	role.noted = exchange_ask(&question, &ignored);
	return role.noted && exchange_read_core(&role.raft);
}

/* Not while another server waits for this process, such as in a promotion. */
static bool
has_time(void)
{
	return role.order.action == PRIMARY_OPEN || role.order.action == PRIMARY_FOLLOW ||
		   role.order.action == PRIMARY_REBUILT || role.order.action == PRIMARY_LEAVE;
}

static Note
wanted(const PrimaryPosition *own)
{
	Note  now = note;
	Raft *r = &role.raft;
	bool  rebuilds = r->saved.rebuild != RAFT_INTACT;

	now.wrote_on = role.wrote_on;
	now.standing_before = role.leading.standing_before;
	if (rebuilds)
		now.held = (RaftPosition){0, 0};
	else if (own->known && !raft_is_behind(r) && has_time())
		now.held = own->position;
	return now;
}

void
role_note_keep(void)
{
	PrimaryPosition own = primary_position(&role.facts);
	Note			now = wanted(&own);
	char			directory[STORE_PATH_SIZE];
	StoreIdentity	identity;
	Words			words;

	if (!role.noted || memcmp(&now, &note, sizeof(now)) == 0 || role.now - written_at < WRITE_INTERVAL)
		return;
	words_clear(&words);
	written_at = role.now;
	if (whose(directory, &identity) && note_write(directory, &identity, &now, &words))
		note = now;
	else
		role_say_failed(WARNING, &failed_at, "could not note what this member holds", &words);
}
