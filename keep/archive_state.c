/*
 * keep/archive_state.c
 *	  The state file of an archive as bytes.
 *
 * See archive_state.h.
 */
#include "../node/record.h"

#include "archive_state.h"

#include <string.h>

#define STATE_MAGIC "PGLDKEEP"
#define STATE_END	64

#define SMALLEST_SEGMENT (UINT32_C(1) << 20)
#define LARGEST_SEGMENT	 (UINT32_C(1) << 30)

bool
state_is_possible(const ArchiveState *state)
{
	uint32_t size = state->segment_size;
	bool	 has_wal = state->timeline != 0;

	if (state->system_id == 0 || size < SMALLEST_SEGMENT || size > LARGEST_SEGMENT || (size & (size - 1)) != 0)
		return false;
	if (state->term > RAFT_MAX_TERM || state->save_number > RAFT_MAX_TERM)
		return false;
	if (has_wal != (state->durable != 0) || has_wal != (state->begin_timeline != 0) || has_wal != (state->begin != 0))
		return false;
	return state->timeline <= LINEAGE_MAX_TIMELINE && state->begin_timeline <= state->timeline && state->begin <= state->durable;
}

void
state_encode(const ArchiveState *state, uint8_t *slot)
{
	memset(slot, 0, STATE_SLOT);
	memcpy(slot, STATE_MAGIC, 8);
	put_number(slot + 8, 4, STATE_FORMAT);
	put_number(slot + 12, 4, state->segment_size);
	put_number(slot + 16, 8, state->system_id);
	put_number(slot + 24, 8, state->save_number);
	put_number(slot + 32, 8, state->term);
	put_number(slot + 40, 8, state->durable);
	put_number(slot + 48, 4, state->timeline);
	put_number(slot + 52, 4, state->begin_timeline);
	put_number(slot + 56, 8, state->begin);
	record_seal(slot, STATE_SLOT);
}

static StateVerdict
decode(const uint8_t *slot, ArchiveState *state)
{
	ArchiveState read = {0};

	if (memcmp(slot, STATE_MAGIC, 8) != 0 || !record_is_sealed(slot, STATE_SLOT))
		return STATE_BAD;
	if (get_number(slot + 8, 4) != STATE_FORMAT)
		return STATE_OTHER_FORMAT;
	read.segment_size = (uint32_t) get_number(slot + 12, 4);
	read.system_id = get_number(slot + 16, 8);
	read.save_number = get_number(slot + 24, 8);
	read.term = get_number(slot + 32, 8);
	read.durable = get_number(slot + 40, 8);
	read.timeline = (uint32_t) get_number(slot + 48, 4);
	read.begin_timeline = (uint32_t) get_number(slot + 52, 4);
	read.begin = get_number(slot + 56, 8);
	if (!state_is_possible(&read) || !is_zero(slot + STATE_END, STATE_SLOT - RECORD_CRC_SIZE - STATE_END))
		return STATE_BAD;
	*state = read;
	return STATE_GOOD;
}

StateVerdict
state_choose(const uint8_t *image, ArchiveState *state, int *slot)
{
	ArchiveState read[2];
	StateVerdict verdicts[2];

	for (int i = 0; i < 2; i++)
		verdicts[i] = decode(image + (size_t) i * STATE_STRIDE, &read[i]);

	/* another version has run since: what the other slot holds is old */
	if (verdicts[0] == STATE_OTHER_FORMAT || verdicts[1] == STATE_OTHER_FORMAT)
		return STATE_OTHER_FORMAT;
	if (verdicts[0] != STATE_GOOD && verdicts[1] != STATE_GOOD)
		return STATE_BAD;
	if (verdicts[0] != STATE_GOOD || verdicts[1] != STATE_GOOD)
		*slot = verdicts[0] == STATE_GOOD ? 0 : 1;
	else
		*slot = read[1].save_number > read[0].save_number ? 1 : 0;
	*state = read[*slot];
	return verdicts[0] == verdicts[1] ? STATE_GOOD : STATE_ONE_BAD;
}
