/*
 * keep/choose.c
 *	  Which base backup a state is restored from, and which WAL that takes.
 *
 * See choose.h.
 */
#include "choose.h"

#include <assert.h>

ChooseAnswer
choose_base(const Lineage *path, uint64_t gid, const ChooseBase *bases, int n, int *found)
{
	bool is_old_enough = false;

	assert(gid > 0 && n >= 0);
	*found = -1;
	for (int i = 0; i < n; i++)
	{
		const ChooseBase *base = &bases[i];

		/* replay goes forward only */
		if (base->gid > gid)
			continue;
		is_old_enough = true;

		/* a base that was made on WAL which the cluster has abandoned leads nowhere */
		if (lineage_holds(path, base->timeline, base->end) && (*found < 0 || base->gid > bases[*found].gid))
			*found = i;
	}
	if (*found >= 0)
		return CHOOSE_FOUND;
	if (n == 0)
		return CHOOSE_NO_BASE;
	return is_old_enough ? CHOOSE_ASIDE : CHOOSE_TOO_OLD;
}

uint64_t
choose_oldest(const ChooseBase *bases, int n)
{
	uint64_t oldest = UINT64_MAX;

	assert(n > 0);
	for (int i = 0; i < n; i++)
	{
		if (bases[i].gid < oldest)
			oldest = bases[i].gid;
	}
	return oldest;
}

uint32_t
choose_file(const Lineage *path, uint64_t gid, uint64_t segment, uint32_t segment_size)
{
	uint64_t end = (segment + 1) * segment_size;

	assert(segment_size > 0 && segment * segment_size < gid);

	/* the segment in which a timeline begins is the child's, with a copy of the parent's part */
	return lineage_timeline_before(path, end < gid ? end : gid);
}

uint64_t
choose_behind(uint64_t gid, uint32_t segment_size)
{
	assert(gid > 0 && segment_size > 0);
	return (gid - 1) / segment_size + 1;
}
