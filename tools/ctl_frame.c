/*
 * tools/ctl_frame.c
 *	  One picture of a live screen, from text.
 *
 * See ctl_frame.h.  The codes are those of ECMA-48, which every terminal of today understands.
 */
#include "ctl_frame.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOME	   "\033[H"
#define BOLD	   "\033[1m"
#define NORMAL	   "\033[0m"
#define ERASE_LINE "\033[K" /* from here on */
#define ERASE_REST "\033[J"

/* Part of a text; not terminated. */
typedef struct Piece
{
	const char *bytes;
	size_t		length;
} Piece;

/* What is before the first "end", which *rest begins behind; all of it, if there is none. */
static Piece
cut(Piece text, char end, Piece *rest)
{
	const char *found = text.length > 0 ? memchr(text.bytes, end, text.length) : NULL;
	size_t		length = found != NULL ? (size_t) (found - text.bytes) : text.length;
	size_t		skipped = found != NULL ? length + 1 : length;

	*rest = (Piece){text.bytes + skipped, text.length - skipped};
	return (Piece){text.bytes, length};
}

static Piece
whole(const char *text)
{
	return (Piece){text, strlen(text)};
}

/* ---- what counts as the same ---- */

static bool
is_digit(char c)
{
	return (c >= '0' && c <= '9') || c == '.';
}

/* How long the measurement is that begins there; 0: none does. */
static size_t
measurement(Piece text)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "ms", "s"};
	size_t					 n = 0;

	while (n < text.length && is_digit(text.bytes[n]))
		n++;
	if (n == 0 || n == text.length || text.bytes[n] != ' ')
		return 0;
	n++;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
	{
		size_t length = strlen(units[i]);

		if (text.length - n >= length && memcmp(text.bytes + n, units[i], length) == 0 &&
			(text.length - n == length || strchr(" ,;)|", text.bytes[n + length]) != NULL))
			return n + length;
	}
	return 0;
}

/* The next byte that counts, *text behind it; '\0': there is none.  A row of measurements is one '#'. */
static char
next(Piece *text)
{
	bool   measured = false;
	size_t n;

	while (text->length > 0)
	{
		n = measurement(*text);
		if (n == 0 && *text->bytes != ' ' && !(measured && *text->bytes == ','))
			break;
		measured |= n > 0;
		n = n > 0 ? n : 1;
		*text = (Piece){text->bytes + n, text->length - n};
	}
	if (measured)
		return '#';
	if (text->length == 0)
		return '\0';
	*text = (Piece){text->bytes + 1, text->length - 1};
	return text->bytes[-1];
}

static bool
is_same(Piece a, Piece b)
{
	char c;

	do
	{
		c = next(&a);
		if (c != next(&b))
			return false;
	} while (c != '\0');
	return true;
}

/* A line of "before" that is the same; or else one with the same first cell.  NULL bytes: neither. */
static Piece
find_before(Piece line, const char *before, bool *same)
{
	Piece found = {NULL, 0};
	Piece rest = whole(before);
	Piece ignored;

	while (rest.length > 0)
	{
		Piece other = cut(rest, '\n', &rest);

		*same = is_same(line, other);
		if (*same)
			return other;
		if (memchr(other.bytes, '|', other.length) != NULL && is_same(cut(line, '|', &ignored), cut(other, '|', &ignored)))
			found = other;
	}
	return found;
}

/* ---- drawing ---- */

typedef struct Drawing
{
	FILE *to;
	int	  left; /* columns of this line */
} Drawing;

/* As much of it as there is room for; of characters, all bytes are drawn or none. */
static void
draw(Drawing *drawing, Piece text, bool is_bold)
{
	size_t n = 0;

	while (n < text.length && ((text.bytes[n] & 0xC0) == 0x80 || drawing->left > 0))
	{
		drawing->left -= (text.bytes[n] & 0xC0) != 0x80;
		n++;
	}
	if (n == 0)
		return;
	fputs(is_bold ? BOLD : "", drawing->to);
	for (size_t i = 0; i < n; i++)
		fputc((unsigned char) text.bytes[i] < ' ' ? ' ' : text.bytes[i], drawing->to);
	fputs(is_bold ? NORMAL : "", drawing->to);
}

/* Cell by cell, as far as the other line has these, too. */
static void
draw_cells(Drawing *drawing, Piece line, Piece before)
{
	while (line.length > 0)
	{
		Piece all = line;
		Piece cell = cut(line, '|', &line);
		Piece other = cut(before, '|', &before);

		draw(drawing, cell, !is_same(cell, other));
		draw(drawing, (Piece){all.bytes + cell.length, all.length - cell.length - line.length}, false);
	}
}

static int
width_of(Piece text)
{
	int width = 0;

	for (size_t i = 0; i < text.length; i++)
		width += (text.bytes[i] & 0xC0) != 0x80;
	return width;
}

/* The last column stays empty: a terminal that was written to there may wrap. */
static void
draw_line(FILE *to, Piece line, const char *before, bool may_mark, int columns)
{
	Drawing drawing = {.to = to, .left = columns - 1};
	bool	is_cut = width_of(line) > columns - 1;
	bool	same = false;
	Piece	found = {NULL, 0};

	if (may_mark && before[0] != '\0')
		found = find_before(line, before, &same);
	if (is_cut)
		drawing.left--;
	if (same || !may_mark || before[0] == '\0')
		draw(&drawing, line, false);
	else if (found.bytes != NULL)
		draw_cells(&drawing, line, found);
	else
		draw(&drawing, line, true);
	fputs(is_cut ? ">" ERASE_LINE : ERASE_LINE, to);
}

static int
count_lines(Piece text)
{
	int n = 0;

	for (; text.length > 0; n++)
		(void) cut(text, '\n', &text);
	return n;
}

char *
ctl_frame(const char *text, const char *before, int rows, int columns)
{
	char  *bytes = NULL;
	size_t size;
	FILE  *to = open_memstream(&bytes, &size);
	Piece  rest = whole(text);
	int	   left = count_lines(rest);
	char   more[64];

	if (to == NULL)
		return NULL;
	fputs(HOME, to);
	for (int row = 0; rest.length > 0; row++, left--)
	{
		if (row > 0)
			fputs("\n", to);
		if (row == rows - 1 && left > 1)
		{
			(void) snprintf(more, sizeof(more), "(%d more lines)", left);
			draw_line(to, whole(more), "", false, columns);
			break;
		}
		draw_line(to, cut(rest, '\n', &rest), before, row > 0, columns);
	}
	fputs(ERASE_REST, to);
	if (fclose(to) == 0)
		return bytes;
	free(bytes);
	return NULL;
}
