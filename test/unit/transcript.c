/*
 * test/unit/transcript.c
 *	  Plays a script with a few cores and prints what they do, in words.
 *
 *	transcript SCRIPT
 *
 * README.md has the commands.  The output is compared with the expected one
 * that lies beside the script; it is also meant to be read.  A command that
 * cannot be carried out ends the program with status 1, so that a script cannot
 * go wrong unnoticed.  All the invariants of fixture.h are checked on the way.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define MAX_WORDS 16

static World		world;
static World *const w = &world;
static bool			messages_shown = true;
static int			line_number;

static void
give_up(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("line %d: ", line_number);
	vprintf(format, args);
	printf("\n");
	va_end(args);
	exit(1);
}

/* "162 ms", rounded up: a promise of 0.3 ms still runs. */
static unsigned long long
ms(uint64_t us)
{
	return (unsigned long long) ((us + 999) / 1000);
}

static unsigned long long
number(uint64_t value)
{
	return (unsigned long long) value;
}

/* ---- what a message says ---- */

static size_t
add(char *text, size_t used, size_t size, const char *format, ...)
{
	va_list args;
	int		n;

	va_start(args, format);
	n = vsnprintf(text + used, size - used, format, args);
	va_end(args);
	if (n < 0 || (size_t) n >= size - used)
		give_up("a line is too long");
	return used + (size_t) n;
}

static size_t
add_answer(const RaftMessage *m, char *text, size_t used, size_t size)
{
	used = add(text, used, size, m->granted ? ": yes" : ": no");
	if (!m->granted && m->term != m->asked_term)
		used = add(text, used, size, ", my term is %llu", number(m->term));
	if (!m->granted && m->promise > 0)
		used = add(text, used, size, ", bound for another %llu ms", ms(m->promise));
	if (!m->granted && m->leader_id != RAFT_NONE)
		used = add(text, used, size, ", I follow %d", m->leader_id);
	return used;
}

static void
describe_message(const RaftMessage *m, char *text, size_t size)
{
	size_t used = add(text, 0, size, "%s", message_type_name(m->type));

	switch (m->type)
	{
		case RAFT_GREETING_ANSWER:
			used = add(text, used, size, ", term %llu, promise %llu ms", number(m->term), ms(m->promise));
			if (m->remembered_boot > 0)
				used = add(text, used, size, ", I remember your start %llu and, of those before your present one, your save %llu",
						   number(m->remembered_boot), number(m->remembered_save));
			break;
		case RAFT_PRE_VOTE_REQUEST:
			used = add(text, used, size, " for term %llu", number(m->asked_term));
			break;
		case RAFT_PRE_VOTE_ANSWER:
		case RAFT_VOTE_ANSWER:
			used = add(text, used, size, " for term %llu", number(m->asked_term));
			used = add_answer(m, text, used, size);
			break;
		case RAFT_VOTE_REQUEST:
			used = add(text, used, size, ", term %llu", number(m->term));
			if (m->replaced_leader != RAFT_NONE)
				used = add(text, used, size, ", in place of %d, leader of term %llu",
						   m->replaced_leader, number(m->replaced_term));
			break;
		case RAFT_HEARTBEAT:
			used = add(text, used, size, " %llu, term %llu", number(m->round), number(m->term));
			break;
		case RAFT_HEARTBEAT_ANSWER:
			used = add(text, used, size, " %llu, term %llu", number(m->round), number(m->asked_term));
			used = add_answer(m, text, used, size);
			break;
		case RAFT_TRANSFER:
			used = add(text, used, size, ", term %llu: stand in my place", number(m->term));
			break;
		default:
			break;
	}
	if (m->abstaining && m->type >= RAFT_PRE_VOTE_REQUEST)
		(void) add(text, used, size, " (abstaining)");
}

/* One line for all who are told the same. */
static void
print_messages(const RaftOutput *out)
{
	static char texts[RAFT_MAX_MESSAGES][256];

	for (uint32_t i = 0; i < out->n_messages; i++)
		describe_message(&out->messages[i], texts[i], sizeof(texts[i]));
	for (uint32_t i = 0; i < out->n_messages; i++)
	{
		if (texts[i][0] == '\0')
			continue;
		printf("    %d -> %d", out->messages[i].from, out->messages[i].to);
		for (uint32_t j = i + 1; j < out->n_messages; j++)
			if (strcmp(texts[i], texts[j]) == 0)
			{
				printf(", %d", out->messages[j].to);
				texts[j][0] = '\0';
			}
		printf("  %s\n", texts[i]);
	}
}

/* ---- what a node is ---- */

static void
print_vote(int32_t voted_for)
{
	if (voted_for == RAFT_NONE)
		printf("no vote");
	else if (voted_for == RAFT_UNKNOWN)
		printf("vote unknown");
	else
		printf("vote for %d", voted_for);
}

static void
print_save(int node, const RaftSaved *before)
{
	const RaftSaved *saved = &w->node[node].disk;

	printf("    node %d saves term %llu, ", node, number(saved->term));
	print_vote(saved->voted_for);
	if (saved->promise != before->promise)
		printf(", promise %llu ms", ms(saved->promise));
	if (saved->boot != before->boot)
		printf(", start %llu", number(saved->boot));
	if (saved->list_size != before->list_size)
		printf(", a list of %u", saved->list_size);
	if (saved->abstaining != RAFT_VOTING)
		printf(", abstaining");
	else if (before->abstaining != RAFT_VOTING)
		printf(", abstaining no longer");
	printf("\n");
}

/* In the order of the worker: save, show, send. */
static void
observe(World *unused, int node, const RaftSaved *before)
{
	const RaftOutput *out = &w->node[node].member.output;
	char			  text[256];

	(void) unused;
	if (out->outcome >= RAFT_FIRST_DROP && messages_shown)
		printf("    node %d drops it: %s\n", node, raft_outcome_name(out->outcome));
	if (out->save)
		print_save(node, before);
	for (uint32_t i = 0; i < out->n_events; i++)
	{
		const RaftEvent *event = &out->events[i];

		printf("    node %d is %s, term %llu: %s\n", node, raft_role_name(event->role),
			   number(event->term), raft_describe_event(event, text, sizeof(text)));
	}
	if (messages_shown)
		print_messages(out);
}

static void
show(void)
{
	for (int i = 0; i < w->n; i++)
	{
		const Raft *r = &w->node[i].member.raft;

		if (!w->node[i].running)
		{
			printf("    node %d: %s\n", i, w->node[i].has_store ? "down" : "down, nothing stored");
			continue;
		}
		printf("    node %d: %s, term %llu, ", i, raft_role_name(r->role), number(r->saved.term));
		print_vote(r->saved.voted_for);
		if (r->role != RAFT_LEADER && r->leader_id != RAFT_NONE)
			printf(", follows %d", r->leader_id);
		if (r->saved.abstaining != RAFT_VOTING)
			printf(", abstains: %s", raft_abstain_name(r->saved.abstaining));
		if (raft_lease_until(r) > w->now)
			printf(", lease for %llu ms", ms(raft_lease_until(r) - w->now));
		else if (raft_promise_until(r) > w->now)
			printf(", bound for %llu ms", ms(raft_promise_until(r) - w->now));
		printf("\n");
	}
	if (w->n_queue > 0)
		printf("    under way: %u\n", w->n_queue);
}

/* ---- commands ---- */

static int
node_argument(const char *word)
{
	char *end;
	long  node = strtol(word, &end, 10);

	if (*end != '\0' || node < 0 || node >= w->n)
		give_up("no such node: %s", word);
	return (int) node;
}

static uint64_t
number_argument(const char *word)
{
	char		 *end;
	unsigned long value = strtoul(word, &end, 10);

	if (*end != '\0')
		give_up("not a number: %s", word);
	return value;
}

static int
running_argument(const char *word)
{
	int node = node_argument(word);

	if (!w->node[node].running)
		give_up("node %d is down", node);
	return node;
}

static int
down_argument(const char *word)
{
	int node = node_argument(word);

	if (w->node[node].running)
		give_up("node %d is running", node);
	return node;
}

/* The list of a node is the first so many members; each list has its digest. */
static void
use_members(int node, uint32_t size)
{
	RaftConfig *config = &w->node[node].config;

	if (size < 1 || (int) size > w->n)
		give_up("no list of %u", size);
	config->list_appended = size > config->list_size;
	config->members = config->wanted = (UINT64_C(1) << size) - 1;
	config->list_size = size;
	config->list_digest = WORLD_LIST + size;
}

static void
start(int node)
{
	const RaftSaved *disk = &w->node[node].disk;

	world_start(w, node);
	printf("    node %d starts: start %llu, term %llu, ", node, number(disk->boot), number(disk->term));
	print_vote(disk->voted_for);
	if (disk->abstaining != RAFT_VOTING)
		printf(", abstains: %s", raft_abstain_name(disk->abstaining));
	printf("\n");
}

static void
start_several(char **words, int n_words, bool fresh)
{
	for (int i = 0; i < w->n; i++)
	{
		bool meant = n_words == 1;

		for (int word = 1; word < n_words; word++)
			meant = meant || node_argument(words[word]) == i;
		if (!meant)
			continue;
		if (fresh)
			world_new_store(w, i);
		start(i);
	}
}

/* To the next deadline that has something to say for itself. */
static void
tick(int node)
{
	const WorldNode *n = &w->node[node];

	for (int i = 0; i < 1000; i++)
	{
		world_tick_at_deadline(w, node);
		if (!n->running || n->member.output.save || n->member.output.n_events > 0 || n->member.output.n_messages > 0)
			return;
	}
	give_up("node %d has nothing to do", node);
}

static void
deliver(char **words, int n_words)
{
	if (n_words == 2 && strcmp(words[1], "all") == 0)
		world_deliver_all(w);
	else if (n_words != 3)
		give_up("deliver FROM TO, or deliver all");
	else if (!world_deliver(w, node_argument(words[1]), node_argument(words[2])))
		give_up("nothing is under way from %s to %s", words[1], words[2]);
}

static void
drop(char **words, int n_words)
{
	if (n_words == 2 && strcmp(words[1], "all") == 0)
		world_drop_all(w);
	else if (n_words != 3)
		give_up("drop FROM TO, or drop all");
	else if (!world_drop(w, node_argument(words[1]), node_argument(words[2])))
		give_up("nothing is under way from %s to %s", words[1], words[2]);
}

static void
transfer(int node, int target)
{
	if (world_transfer(w, node, target) != RAFT_TRANSFER_STARTED)
		printf("    refused\n");
}

/* Let it run by itself; messages would fill pages. */
static void
run(uint64_t length)
{
	messages_shown = false;
	w->delay = MS(1);
	world_run(w, length);
	w->delay = 0;
	messages_shown = true;
}

static void
greet(void)
{
	messages_shown = false;
	world_greet_all(w);
	messages_shown = true;
	printf("    all that run have greeted each other\n");
}

typedef struct Command
{
	const char *name;
	int			n_arguments; /* -1: any number */
	void (*simple)(char **words, int n_words);
} Command;

static void
c_nodes(char **a, int n)
{
	(void) n;
	world_prepare(w, (int) number_argument(a[1]));
	w->observer = observe;
	for (int i = 0; i < w->n; i++)
		use_members(i, (uint32_t) w->n);
}

static void
c_timeouts(char **a, int n)
{
	(void) n;
	for (int i = 0; i < w->n; i++)
	{
		RaftTimeouts *t = &w->node[i].config.timeouts;

		t->min_timeout = MS(number_argument(a[1]));
		t->max_timeout = MS(number_argument(a[2]));
		t->heartbeat_interval = MS(number_argument(a[3]));
		if (raft_check_config(&w->node[i].config) != NULL)
			give_up("%s", raft_check_config(&w->node[i].config));
	}
}

static void
c_fresh(char **a, int n)
{
	start_several(a, n, true);
}

static void
c_blank(char **a, int n)
{
	start_several(a, n, false);
}

static void
c_members(char **a, int n)
{
	(void) n;
	use_members(down_argument(a[1]), (uint32_t) number_argument(a[2]));
}

static void
c_greet(char **a, int n)
{
	(void) a;
	(void) n;
	greet();
}

static void
c_timer(char **a, int n)
{
	(void) n;
	world_set_timer(w, running_argument(a[1]), MS(number_argument(a[2])));
}

static void
c_tick(char **a, int n)
{
	(void) n;
	tick(running_argument(a[1]));
}

static void
c_advance(char **a, int n)
{
	(void) n;
	world_advance(w, MS(number_argument(a[1])));
}

static void
c_run(char **a, int n)
{
	(void) n;
	run(MS(number_argument(a[1])));
}

static void
c_cut(char **a, int n)
{
	(void) n;
	world_cut_both(w, node_argument(a[1]), node_argument(a[2]));
}

static void
c_isolate(char **a, int n)
{
	(void) n;
	world_isolate(w, node_argument(a[1]));
}

static void
c_deaf(char **a, int n)
{
	(void) n;
	for (int i = 0; i < w->n; i++)
		if (i != node_argument(a[1]))
			world_cut(w, i, node_argument(a[1]));
}

static void
c_heal(char **a, int n)
{
	(void) a;
	(void) n;
	world_heal(w);
}

static void
c_crash(char **a, int n)
{
	(void) n;
	world_crash(w, running_argument(a[1]));
}

static void
c_restart(char **a, int n)
{
	int node = node_argument(a[1]);

	(void) n;
	if (w->node[node].running)
		world_crash(w, node);
	start(node);
}

static void
c_wipe(char **a, int n)
{
	(void) n;
	world_wipe(w, down_argument(a[1]));
}

static void
c_die(char **a, int n)
{
	(void) n;
	w->node[running_argument(a[1])].fault = WORLD_DIES_BEFORE_SENDING;
}

static void
c_transfer(char **a, int n)
{
	(void) n;
	transfer(running_argument(a[1]), node_argument(a[2]));
}

static void
c_resign(char **a, int n)
{
	(void) n;
	world_resign(w, running_argument(a[1]));
}

static void
c_admit(char **a, int n)
{
	(void) n;
	if (!world_admit(w, running_argument(a[1])))
		printf("    it does not abstain\n");
}

static void
c_position(char **a, int n)
{
	(void) n;
	world_set_position(w, running_argument(a[1]), number_argument(a[2]), number_argument(a[3]));
}

static void
c_show(char **a, int n)
{
	(void) a;
	(void) n;
	show();
}

static const Command commands[] = {
	{"nodes", 1, c_nodes},
	{"timeouts", 3, c_timeouts},
	{"fresh", -1, c_fresh},
	{"blank", -1, c_blank},
	{"members", 2, c_members},
	{"greet", 0, c_greet},
	{"timer", 2, c_timer},
	{"tick", 1, c_tick},
	{"advance", 1, c_advance},
	{"run", 1, c_run},
	{"deliver", -1, deliver},
	{"drop", -1, drop},
	{"cut", 2, c_cut},
	{"isolate", 1, c_isolate},
	{"deaf", 1, c_deaf},
	{"heal", 0, c_heal},
	{"crash", 1, c_crash},
	{"restart", 1, c_restart},
	{"wipe", 1, c_wipe},
	{"die", 1, c_die},
	{"transfer", 2, c_transfer},
	{"resign", 1, c_resign},
	{"admit", 1, c_admit},
	{"position", 3, c_position},
	{"show", 0, c_show},
};

static void
play(char *line)
{
	char *words[MAX_WORDS];
	int	  n_words = 0;

	for (char *word = strtok(line, " \t\n"); word != NULL; word = strtok(NULL, " \t\n"))
	{
		if (n_words == MAX_WORDS)
			give_up("too many words");
		words[n_words++] = word;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
	{
		const Command *command = &commands[i];

		if (strcmp(words[0], command->name) != 0)
			continue;
		if (command->n_arguments >= 0 && n_words != command->n_arguments + 1)
			give_up("%s takes %d arguments", command->name, command->n_arguments);
		if (w->n == 0 && command->simple != c_nodes)
			give_up("a script begins with: nodes N");
		command->simple(words, n_words);
		return;
	}
	give_up("unknown command: %s", words[0]);
}

int
main(int argc, char **argv)
{
	FILE *script;
	char  line[256];

	if (argc != 2)
	{
		fprintf(stderr, "usage: transcript SCRIPT\n");
		return 2;
	}
	script = fopen(argv[1], "r");
	if (script == NULL)
	{
		perror(argv[1]);
		return 2;
	}
	while (fgets(line, sizeof(line), script) != NULL)
	{
		line_number++;
		if (line[0] == '#' || line[0] == '\n')
		{
			fputs(line, stdout);
			continue;
		}
		if (w->n > 0)
			printf("%llu ms> %s", number((w->now - WORLD_START) / 1000), line);
		else
			printf("0 ms> %s", line);
		play(line);
	}
	fclose(script);
	return 0;
}
