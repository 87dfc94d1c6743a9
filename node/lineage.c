/*
 * node/lineage.c
 *	  Timeline histories as values.
 *
 * See lineage.h.  Must not use backend symbols, do input or output, or allocate.
 */
#include "lineage.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define HINT_HISTORY "It is not a history file that PostgreSQL has written, or it is damaged: get it again from a server that has it."

/* ---- reading ---- */

/* A text with its end, which is eaten from the front. */
typedef struct Rest
{
	const char *at;
	const char *end;
} Rest;

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r' && c != '\n');
}

static bool
skip_blanks(Rest *rest)
{
	const char *begin = rest->at;

	while (rest->at < rest->end && is_blank(*rest->at))
		rest->at++;
	return rest->at > begin;
}

/* Digits, at least one; UINT32_MAX stands for all that is above it. */
static bool
read_decimal(Rest *rest, uint32_t *value)
{
	uint64_t	sum = 0;
	const char *begin = rest->at;

	for (; rest->at < rest->end && *rest->at >= '0' && *rest->at <= '9'; rest->at++)
	{
		sum = sum * 10 + (uint64_t) (*rest->at - '0');
		if (sum > UINT32_MAX)
			sum = UINT32_MAX;
	}
	*value = (uint32_t) sum;
	return rest->at > begin;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* At most "most" hexadecimal digits; returns how many there were. */
static int
read_hex(Rest *rest, int most, uint32_t *value)
{
	int n = 0;

	*value = 0;
	for (; n < most && rest->at < rest->end && hex_digit(*rest->at) >= 0; n++)
		*value = *value << 4 | (uint32_t) hex_digit(*rest->at++);
	return n;
}

static bool
read_lsn(Rest *rest, uint64_t *lsn)
{
	uint32_t high;
	uint32_t low;

	if (read_hex(rest, 8, &high) == 0 || rest->at == rest->end || *rest->at++ != '/' ||
		read_hex(rest, 8, &low) == 0)
		return false;
	*lsn = (uint64_t) high << 32 | low;
	return rest->at == rest->end || hex_digit(*rest->at) < 0;
}

bool
lineage_read_lsn(const char *text, uint64_t *lsn)
{
	Rest rest = {text, text + strlen(text)};

	return read_lsn(&rest, lsn) && rest.at == rest.end;
}

/* What is wrong with this ancestor after those before it; NULL: nothing. */
static const char *
why_impossible(const Lineage *lineage, uint32_t timeline, uint64_t end)
{
	int					   n = lineage->n_ancestors;
	const LineageAncestor *before = n > 0 ? &lineage->ancestors[n - 1] : NULL;

	if (timeline == 0)
		return "there is no timeline 0";
	if (timeline >= lineage->timeline)
		return "an ancestor's id is not below that of its descendant";
	if (end == 0)
		return "0/0 is no end of a timeline";
	if (end == LINEAGE_NO_END)
		return "FFFFFFFF/FFFFFFFF is no end of a timeline";
	if (n == LINEAGE_ANCESTORS)
		return "there are too many ancestors";
	if (before != NULL && timeline <= before->timeline)
		return "the ids do not rise";
	if (before != NULL && end < before->end)
		return "a timeline ends before it begins";
	return NULL;
}

/* One line, without its end.  NULL: it is good. */
static const char *
read_line(Lineage *lineage, Rest rest)
{
	uint32_t	timeline;
	uint64_t	end;
	const char *wrong;

	if (memchr(rest.at, '\0', (size_t) (rest.end - rest.at)) != NULL)
		return "there is a zero byte in it";
	(void) skip_blanks(&rest);
	if (rest.at == rest.end || *rest.at == '#')
		return NULL;
	if (!read_decimal(&rest, &timeline))
		return "it does not begin with the id of a timeline";
	if (!skip_blanks(&rest) || !read_lsn(&rest, &end) || (rest.at < rest.end && !is_blank(*rest.at)))
		return "the id is not followed by an LSN";
	wrong = why_impossible(lineage, timeline, end);
	if (wrong == NULL)
		lineage->ancestors[lineage->n_ancestors++] = (LineageAncestor){timeline, end};
	return wrong;
}

LineageVerdict
lineage_parse(Lineage *lineage, uint32_t timeline, const char *text, size_t length, Words *words)
{
	const char *at = text;
	const char *end = text + length;

	words_clear(words);
	lineage->timeline = timeline;
	lineage->n_ancestors = 0;
	if (timeline < 2 || timeline > LINEAGE_MAX_TIMELINE)
	{
		(void) words_set(words, NULL, "timeline %u has no history file", timeline);
		return LINEAGE_BAD;
	}
	for (int line = 1; at < end; line++)
	{
		const char *newline = memchr(at, '\n', (size_t) (end - at));
		const char *stop = newline != NULL ? newline : end;
		const char *wrong = read_line(lineage, (Rest){at, stop});

		if (wrong != NULL)
		{
			(void) words_set(words, HINT_HISTORY, "the history of timeline %u is wrong in line %d: %s",
							 timeline, line, wrong);
			return LINEAGE_BAD;
		}
		at = newline != NULL ? newline + 1 : end;
	}
	return lineage->n_ancestors > 0 ? LINEAGE_GOOD : LINEAGE_BURNT;
}

/* ---- paths ---- */

void
lineage_first(Lineage *lineage)
{
	lineage->timeline = 1;
	lineage->n_ancestors = 0;
}

/* The timelines of the path by their place in it; the newest is the last. */
static uint32_t
timeline_at(const Lineage *lineage, int i)
{
	assert(i >= 0 && i <= lineage->n_ancestors);
	return i < lineage->n_ancestors ? lineage->ancestors[i].timeline : lineage->timeline;
}

static uint64_t
begin_at(const Lineage *lineage, int i)
{
	assert(i >= 0 && i <= lineage->n_ancestors);
	return i > 0 ? lineage->ancestors[i - 1].end : 0;
}

static uint64_t
end_at(const Lineage *lineage, int i)
{
	assert(i >= 0 && i <= lineage->n_ancestors);
	return i < lineage->n_ancestors ? lineage->ancestors[i].end : LINEAGE_NO_END;
}

/* -1: it is not on the path. */
static int
place_of(const Lineage *lineage, uint32_t timeline)
{
	for (int i = 0; i <= lineage->n_ancestors; i++)
	{
		if (timeline_at(lineage, i) == timeline)
			return i;
	}
	return -1;
}

bool
lineage_extend(const Lineage *parent, uint32_t timeline, uint64_t fork, Lineage *lineage)
{
	int n = parent->n_ancestors;

	if (timeline <= parent->timeline || timeline > LINEAGE_MAX_TIMELINE || fork == 0 || fork == LINEAGE_NO_END ||
		fork < begin_at(parent, n) || n == LINEAGE_ANCESTORS)
		return false;
	if (lineage != parent)
		memcpy(lineage->ancestors, parent->ancestors, (size_t) n * sizeof(LineageAncestor));
	lineage->ancestors[n] = (LineageAncestor){parent->timeline, fork};
	lineage->n_ancestors = n + 1;
	lineage->timeline = timeline;
	return true;
}

bool
lineage_until(const Lineage *path, uint32_t timeline, Lineage *lineage)
{
	*lineage = *path;
	while (lineage->timeline != timeline && lineage->n_ancestors > 0)
		lineage->timeline = lineage->ancestors[--lineage->n_ancestors].timeline;
	return lineage->timeline == timeline;
}

bool
lineage_has(const Lineage *lineage, uint32_t timeline)
{
	return place_of(lineage, timeline) >= 0;
}

uint64_t
lineage_begin(const Lineage *lineage, uint32_t timeline)
{
	int i = place_of(lineage, timeline);

	return i < 0 ? LINEAGE_NO_END : begin_at(lineage, i);
}

uint64_t
lineage_end(const Lineage *lineage, uint32_t timeline)
{
	int i = place_of(lineage, timeline);

	return i < 0 ? 0 : end_at(lineage, i);
}

uint32_t
lineage_timeline_of(const Lineage *lineage, uint64_t lsn)
{
	int i = 0;

	while (i < lineage->n_ancestors && lsn >= end_at(lineage, i))
		i++;
	return timeline_at(lineage, i);
}

uint32_t
lineage_timeline_before(const Lineage *lineage, uint64_t end)
{
	return lineage_timeline_of(lineage, end > 0 ? end - 1 : 0);
}

bool
lineage_holds(const Lineage *lineage, uint32_t timeline, uint64_t end)
{
	int i = place_of(lineage, timeline);

	return i >= 0 && end > begin_at(lineage, i) && end <= end_at(lineage, i);
}

bool
lineage_is_prefix(const Lineage *a, const Lineage *b)
{
	if (a->n_ancestors > b->n_ancestors)
		return false;
	for (int i = 0; i < a->n_ancestors; i++)
	{
		if (a->ancestors[i].timeline != b->ancestors[i].timeline || a->ancestors[i].end != b->ancestors[i].end)
			return false;
	}
	return timeline_at(a, a->n_ancestors) == timeline_at(b, a->n_ancestors);
}

uint64_t
lineage_fork(const Lineage *a, const Lineage *b)
{
	int most = a->n_ancestors < b->n_ancestors ? a->n_ancestors : b->n_ancestors;

	for (int i = 0; i <= most; i++)
	{
		/* what came before is the same in both */
		if (timeline_at(a, i) != timeline_at(b, i))
			return begin_at(a, i);
		if (end_at(a, i) != end_at(b, i))
			return end_at(a, i) < end_at(b, i) ? end_at(a, i) : end_at(b, i);
	}
	return LINEAGE_NO_END;
}

uint64_t
lineage_common_end(const Lineage *a, uint64_t end, const Lineage *b)
{
	uint64_t fork = lineage_fork(a, b);

	return end < fork ? end : fork;
}

bool
lineage_has_segment(const Lineage *lineage, uint32_t timeline, uint64_t segment, uint32_t segment_size)
{
	int i = place_of(lineage, timeline);

	assert(segment_size > 0 && (segment_size & (segment_size - 1)) == 0);
	if (i < 0 || segment >= UINT64_MAX / segment_size)
		return false;
	return segment * segment_size < end_at(lineage, i) && (segment + 1) * segment_size > begin_at(lineage, i);
}
