#!/bin/bash
#
# script/test_stand/ctl.sh
#	  Control the test stand: start, stop, kill and pause its nodes, cut its links.
#
# For people at a terminal, and with commands from arguments, a file or a pipe for
# the tests.  The network itself is net_init.sh's.

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=script/lib.sh
. "$here/../lib.sh"
# shellcheck source=script/test_stand/stand.sh
. "$here/stand.sh"
# shellcheck source=script/test_stand/show.sh
. "$here/show.sh"

usage()
{
	cat <<TEXT
NAME
    ctl.sh - control the test stand

SYNOPSIS
    ctl.sh [--config CONFIG] [-c COMMAND]... [-f FILE | COMMAND WORD...]

DESCRIPTION
    Without a command it reads them: on a terminal with history and completion
    by the tab key, elsewhere a line each ("#" begins a comment), up to the first
    one that fails, which it names.  The servers go on running when it ends.

OPTIONS
    --config CONFIG  the configuration, $PGLD_DEFAULT_CONFIG by default
    -c COMMAND       do this, and then the next -c
    -f FILE          read commands from there; "-" is standard input
    --help           this text

COMMANDS
$(command_help | sed 's/^/    /')

EXIT STATUS
    0 done, 1 a command failed, 2 called or configured wrongly, 130 or 143 ended
    by Ctrl-C, or by SIGTERM or SIGHUP, once the command at work has ended
TEXT
}

command_help()
{
	cat <<TEXT
start [ALL | IDs]                st   launch nodes, all by default
stop [smart|fast|immediate] [ALL | IDs]
                                 sp   stop them; fast by default
kill IDs                              SIGKILL for all of a node's processes, its
                                      supervisor included
pause IDs                             SIGSTOP for all of them
resume [ALL | IDs]                    SIGCONT

disconnect ONE ANOTHER [both]    d    nothing gets from ONE to ANOTHER
reconnect ONE ANOTHER [both]     r    it does again
isolate ID                            cut ID off from all others, both ways
brainsplit GROUP ; GROUP ...     b    cut all links between groups of IDs;
                                      a node in no group keeps its links
brainjoin                        bj   all links are whole again
loss ONE ANOTHER PERCENT [both]       lose that many of the packets from ONE to
                                      ANOTHER at random; 0: none
flush                            f    remove all cuts and losses

transfer [ID]                         hand over, to that node if named
status                           s    the nodes, and the links that are cut
statistics                       stat the rules, and what they have dropped
help                             h ?  this text
exit                             q    leave; the servers go on running

IDs are separated by spaces or commas.  Cuts add up, until they are joined.
Address resolution (ARP, neighbour discovery) passes all cuts and losses.
TEXT
}

# ---- arguments of commands ----

# Errors of a command end the command: each runs in a shell of its own.

wrong()
{
	usage_error "$1" "${2:-\"help\" says how}"
}

# take_ids WORD...: sets IDS; nothing or ALL: all of them.
take_ids()
{
	local word
	local -a words=()

	IDS=()
	if (( $# == 0 )) || [[ ${*^^} == ALL ]]; then
		IDS=("${NODE_IDS[@]}")
		return
	fi
	# Commas are as good as spaces.
	read -ra words <<<"${*//,/ }" || true
	for word in ${words[@]+"${words[@]}"}; do
		check_node_id "$word"
		word=$((10#$word))
		[[ " ${IDS[*]:-} " == *" $word "* ]] || IDS+=("$word")
	done
}

# need_ids COMMAND WORD...: the same, but somebody has to be named.
need_ids()
{
	(( $# > 1 )) || wrong "$1: which node?" "the nodes are ${NODE_IDS[*]}, or ALL"
	take_ids "${@:2}"
}

# take_link ONE ANOTHER [both]: sets PAIRS
take_link()
{
	if (( $# < 2 || $# > 3 )) || [[ ${3:-both} != both ]]; then
		wrong "two nodes are needed, and perhaps \"both\"" "as in: 0 1, or: 0 1 both"
	fi
	check_node_id "$1"
	check_node_id "$2"
	set -- "$((10#$1))" "$((10#$2))" "${3:-}"
	[[ $1 != "$2" ]] || wrong "node $1 has no link to itself" "name two nodes"
	PAIRS=("$1,$2")
	[[ -z $3 ]] || PAIRS+=("$2,$1")
}

no_words()
{
	(( $# == 1 )) || wrong "$1 takes no argument, not even \"$2\""
}

# ---- nodes ----

# mark_nodes ID...: these have run on a stand, so net_down.sh may remove them.
mark_nodes()
{
	local mark=$PGLD_STATE_DIRECTORY/$STAND_MARK id

	ensure_directory "$PGLD_STATE_DIRECTORY"
	for id in "$@"; do
		# Appended in one write each: several ctl.sh can do it at a time.
		# shellcheck disable=SC2016
		as_server sh -c 'grep -sqxF -e "$2" "$1" || printf "%s\n" "$2" >>"$1"' sh "$mark" "$(print_mark "$id")" ||
			fail "user $SERVER_USER cannot write $mark"
	done
}

create_if_new()
{
	cluster_is_new || return 0
	check_installed
	ensure_directory "$(dirname "$PGLD_DB_PATHNAME_PREFIX")"
	mark_nodes "${NODE_IDS[@]}"
	# Before the state files: an interrupted start is then completed by the next one.
	! is_managed || [[ -n $PGLD_REPLICATION_CONNINFO ]] || make_passfile
	write_first_states
}

# for_each_id COMMAND: with each of IDS, side by side; what each says is printed
# when it has ended, and it fails if one fails.  What has begun comes to its end,
# also after an interruption: nothing is half-made, or goes on behind anybody's
# back.
for_each_id()
{
	local id signals='' status=0
	local -a pids=()

	# Not local: what removes it runs when this function is over.
	outputs=$(mktemp -d "${TMPDIR:-/tmp}/pg_leader_ctl.XXXXXX")
	trap remove_outputs EXIT
	trap 'signals+=x' INT TERM HUP
	for id in "${IDS[@]}"; do
		( trap '' INT TERM HUP; "$@" "$id" ) >"$outputs/$id" 2>&1 &
		pids[id]=$!
	done
	for id in "${IDS[@]}"; do
		wait_for_child "${pids[id]}" || status=1
		cat -- "$outputs/$id"
	done
	[[ -z $signals ]] || fail "interrupted"
	return "$status"
}

remove_outputs()
{
	rm -rf -- "$outputs"
}

# The status of a child, once it has ended: a signal that is trapped ends "wait",
# not the child.
wait_for_child()
{
	local before status

	while :; do
		before=$signals
		status=0
		wait "$1" || status=$?
		[[ $signals != "$before" ]] || return "$status"
	done
}

launch_node()
{
	if node_running "$1" && node_is_paused "$1"; then
		say "node $1: runs, but is paused; \"resume $1\" lets it go on"
		return
	fi
	# One launch of a node at a time, also when a ctl.sh that was killed has left
	# one behind.  The lock is flock's own, or the server would inherit it.  A
	# session of its own, because Ctrl-C would make pg_ctl leave a server behind
	# that is about to stop.
	flock --close "$STAND_RECORDS/.launch-$(node_namespace "$1")" \
		setsid --wait nsenter --net="/run/netns/$(node_namespace "$1")" -- \
		"$here/../nodelaunch.sh" -c "$CONFIG_FILE" "$1"
}

do_start()
{
	take_ids "$@"
	create_if_new
	mark_nodes "${IDS[@]}"
	for_each_id launch_node
}

# A paused server cannot stop.
stop_node()
{
	signal_node "$2" CONT
	"$here/../nodestop.sh" -c "$CONFIG_FILE" -m "$1" "$2"
}

do_stop()
{
	local mode=fast

	if [[ ${1:-} =~ ^(smart|fast|immediate)$ ]]; then
		mode=$1
		shift
	fi
	take_ids "$@"
	for_each_id stop_node "$mode"
}

has_processes()
{
	[[ -n $(node_processes "$1") ]] || node_is_zombie "$1"
}

# A process that has been told to stop runs until it is its turn, and may give
# birth to another one until then: that is told, too.
goes_on()
{
	node_has_process "$1" '^TZX[:blank:]' || return 1
	signal_node "$1" STOP
}

# Leaves in IDS those that have processes, and says so of the others.
skip_stopped()
{
	local id
	local -a running=()

	for id in "${IDS[@]}"; do
		if [[ -n $(node_processes "$id") ]]; then
			running+=("$id")
		else
			say "node $id: does not run"
		fi
	done
	IDS=(${running[@]+"${running[@]}"})
}

# Nothing of it acts on what becomes of another part.
freeze_node()
{
	signal_node "$1" STOP
	wait_while goes_on "$1" || fail "node $1: processes go on in spite of SIGSTOP"
}

# All at once, as if the machines had lost their power.
do_kill()
{
	local id

	need_ids kill "$@"
	skip_stopped
	for id in ${IDS[@]+"${IDS[@]}"}; do
		freeze_node "$id"
	done
	for id in ${IDS[@]+"${IDS[@]}"}; do
		signal_node "$id" KILL
	done
	for id in ${IDS[@]+"${IDS[@]}"}; do
		wait_while has_processes "$id" || fail "node $id: processes outlive SIGKILL"
		say "node $id: killed"
	done
}

do_pause()
{
	local id

	need_ids pause "$@"
	skip_stopped
	for id in ${IDS[@]+"${IDS[@]}"}; do
		freeze_node "$id"
		say "node $id: paused"
	done
}

do_resume()
{
	local id

	take_ids "$@"
	for id in "${IDS[@]}"; do
		if node_is_paused "$id"; then
			signal_node "$id" CONT
			say "node $id: resumed"
		else
			say "node $id: is not paused"
		fi
	done
}

do_transfer()
{
	local leader output hint=

	(( $# <= 1 )) || wrong "transfer takes one node, or none"
	[[ -z ${1:-} ]] || check_node_id "$1"
	leader=$(find_leader) || fail "there is no leader to hand over" "\"status\" shows what the nodes know"
	output=$(node_psql "$leader" -c "SELECT pg_leader_transfer(${1:-NULL})" 2>&1) || {
		[[ ! $output =~ HINT:\ *([^$'\n']*) ]] || hint=${BASH_REMATCH[1]}
		[[ ! $output =~ ERROR:\ *([^$'\n']*) ]] || output=${BASH_REMATCH[1]}
		fail "node $leader did not hand over: $output" "$hint"
	}
	say "node $leader has handed over to node $output"
}

# ---- links ----

do_disconnect()
{
	take_link "$@"
	change_links cut "${PAIRS[@]}"
	say_pairs "is cut"
}

do_reconnect()
{
	take_link "$@"
	change_links join "${PAIRS[@]}"
	say_pairs "is whole"
}

say_pairs()
{
	local pair

	for pair in "${PAIRS[@]}"; do
		say "the link from ${pair%,*} to ${pair#*,} $1"
	done
}

do_isolate()
{
	local id

	(( $# == 1 )) || wrong "isolate takes one node" "the nodes are ${NODE_IDS[*]}"
	check_node_id "$1"
	PAIRS=()
	for id in "${NODE_IDS[@]}"; do
		if (( id != 10#$1 )); then
			PAIRS+=("$((10#$1)),$id" "$id,$((10#$1))")
		fi
	done
	change_links cut ${PAIRS[@]+"${PAIRS[@]}"}
	say "node $((10#$1)) is cut off from all others"
}

do_brainsplit()
{
	local text group groups=0 one another
	local -a group_of=()

	text="$*"
	[[ $text == *\;* ]] || wrong "brainsplit needs two groups or more, with \";\" between them" \
		"as in: brainsplit ${NODE_IDS[0]} ; ${NODE_IDS[*]:1} (in quotes, if a shell reads it)"
	while IFS= read -r group; do
		[[ -n ${group//[[:space:],]/} ]] || wrong "brainsplit: a group has no node in it" \
			"as in: brainsplit ${NODE_IDS[0]} ; ${NODE_IDS[*]:1}"
		take_ids "$group"
		for one in "${IDS[@]}"; do
			[[ -z ${group_of[one]:-} ]] || wrong "brainsplit: node $one is in two groups" "name each node once"
			group_of[one]=$groups
		done
		groups=$((groups + 1))
	done <<<"${text//;/$'\n'}"

	PAIRS=()
	for one in "${!group_of[@]}"; do
		for another in "${!group_of[@]}"; do
			if [[ ${group_of[one]} != "${group_of[another]}" ]]; then
				PAIRS+=("$one,$another")
			fi
		done
	done
	change_links cut "${PAIRS[@]}"
	say "no link is left between these groups: $(sed -E 's/[[:space:],]*;[[:space:],]*/ | /g' <<<"$text")"
}

do_loss()
{
	local percent pair

	(( $# >= 3 && $# <= 4 )) || wrong "loss needs two nodes and a percentage" "as in: loss 0 1 30, or: loss 0 1 30 both"
	percent=${3%\%}
	is_number "$percent" 0 100 || wrong "loss: \"$3\" is no percentage" "0 to 100"
	take_link "$1" "$2" ${4:+"$4"}
	for pair in "${PAIRS[@]}"; do
		set_loss "${pair%,*}" "${pair#*,}" "$((10#$percent))"
		say "from ${pair%,*} to ${pair#*,}, $((10#$percent)) % are lost"
	done
}

do_brainjoin()
{
	no_words brainjoin "$@"
	join_all_links
	say "no link is cut any more; losses stay"
}

do_flush()
{
	no_words flush "$@"
	join_all_links
	clear_losses
	say "all links are whole, and nothing is lost"
}

# ---- looking ----

do_status()
{
	no_words status "$@"
	read_nodes
	read_servers
	read_cuts
	read_losses
	{
		print_nodes
		say
		print_links
	} | clip_lines
}

do_statistics()
{
	local id line

	no_words statistics "$@"
	say "rules of the chain $STAND_CHAIN in ebtables' FORWARD (the first two let address resolution pass):"
	ebtables-nft -L "$STAND_CHAIN" --Lc | sed -n 's/^-/  -/p'
	for id in "${NODE_IDS[@]}"; do
		in_namespace "$id" nft list table inet "$STAND_TABLE" 2>/dev/null |
			sed -nE "s/.* counter (packets [0-9]+ bytes [0-9]+) .*comment \"from ([0-9]+): ([0-9]+) %\".*/  from \2 to $id: \3 % lost, \1/p" || true
	done
}

# ---- commands ----

CONFIG_HINT="a configuration is named with --config"
COMMAND_NAMES=(start stop kill pause resume disconnect reconnect isolate brainsplit brainjoin
	loss flush transfer status statistics help exit quit)

# Sets COMMAND to the full name of what a person typed.
find_command()
{
	case $1 in
		h | '?') COMMAND=help ;;
		st) COMMAND=start ;;
		sp) COMMAND=stop ;;
		d) COMMAND=disconnect ;;
		r) COMMAND=reconnect ;;
		b) COMMAND=brainsplit ;;
		bj) COMMAND=brainjoin ;;
		s) COMMAND=status ;;
		stat) COMMAND=statistics ;;
		f) COMMAND=flush ;;
		q | quit) COMMAND='exit' ;;
		*) COMMAND=$1 ;;
	esac
	[[ " ${COMMAND_NAMES[*]} " == *" $COMMAND "* ]]
}

# What a person may have meant: the commands that begin like this.
guess_command()
{
	local guesses

	if [[ -f $1 ]]; then
		printf '%s' "$CONFIG_HINT"
		return
	fi
	guesses=$(compgen -W "${COMMAND_NAMES[*]}" -- "$1" | tr '\n' ' ') || true
	if [[ -n $guesses ]]; then
		printf 'commands are written out: %s' "${guesses% }"
	else
		printf '"help" lists them'
	fi
}

# run_line LINE: one command; sets STATUS.  Errors end the subshell, and nothing
# else.  Not to be called as a condition: then errors would end nothing.
run_line()
{
	local -a words=()

	STATUS=0
	read -ra words <<<"${1%%#*}" || true
	(( ${#words[@]} > 0 )) || return 0
	find_command "${words[0]}" || {
		error "there is no command \"${words[0]}\"" "$(guess_command "${words[0]}")"
		STATUS=2
		return 0
	}
	case $COMMAND in
		help) command_help ;;
		exit) leaving=yes ;;
		*)
			# A signal waits for the command's end, as the command may have to
			# clean up.  Standard input may hold the commands to come.
			trap 'interrupted=130' INT
			trap 'interrupted=143' TERM HUP
			set +e
			(
				set -e
				require_stand "$config_shown"
				"do_$COMMAND" "${words[@]:1}"
			) </dev/null
			STATUS=$?
			set -e
			trap - TERM HUP
			# shellcheck disable=SC2064
			trap "$between_commands" INT
			;;
	esac
}

# run_lines [FILE]: up to the first line that fails, or to "exit".  FILE is what
# people call standard input, if a line's number helps them.
run_lines()
{
	local line number=0

	while IFS= read -r line || [[ -n $line ]]; do
		number=$((number + 1))
		run_line "$line"
		[[ -z $interrupted ]] || exit "$interrupted"
		if (( STATUS != 0 )); then
			[[ -z ${1:-} ]] || error "$1, line $number: this failed, and the rest was not done"
			exit "$STATUS"
		fi
		[[ $leaving == no ]] || exit 0
	done
}

# ---- at a terminal ----

# What could stand where the cursor is: commands first, then what belongs to them.
complete_line()
{
	local before=${READLINE_LINE:0:READLINE_POINT} word common
	# The "read" that waits meanwhile has none.
	local IFS=$' \t\n'
	local -a candidates=()

	word=${before##*[[:space:]]}
	if [[ $before == "$word" ]]; then
		mapfile -t candidates < <(compgen -W "${COMMAND_NAMES[*]}" -- "$word")
	else
		find_command "${before%%[[:space:]]*}" || return 0
		mapfile -t candidates < <(compgen -W "$(words_for "$COMMAND")" -- "$word")
	fi
	(( ${#candidates[@]} > 0 )) || return 0
	if (( ${#candidates[@]} == 1 )); then
		common="${candidates[0]} "
	else
		common=$(common_beginning "${candidates[@]}")
		if [[ $common == "$word" ]]; then
			printf '%s\n' "${candidates[*]}" >&2
		fi
	fi
	READLINE_LINE="${before%"$word"}$common${READLINE_LINE:READLINE_POINT}"
	READLINE_POINT=$((${#before} - ${#word} + ${#common}))
}

# Ctrl-C at the prompt.
give_up_line()
{
	printf '%s%s^C\n' "stand> " "$READLINE_LINE" >&2
	READLINE_LINE=
	READLINE_POINT=0
}

common_beginning()
{
	local word common=$1

	for word in "$@"; do
		while [[ $word != "$common"* ]]; do
			common=${common%?}
		done
	done
	printf '%s' "$common"
}

words_for()
{
	case $1 in
		stop) printf '%s' "ALL smart fast immediate ${NODE_IDS[*]}" ;;
		start | resume | kill | pause) printf '%s' "ALL ${NODE_IDS[*]}" ;;
		disconnect | reconnect | loss) printf '%s' "both ${NODE_IDS[*]}" ;;
		isolate | brainsplit | transfer) printf '%s' "${NODE_IDS[*]}" ;;
	esac
}

run_terminal()
{
	local line history_file=${HOME:-/root}/.pg_leader_stand_history

	terminal_mode=$(stty -g)
	trap 'stty "$terminal_mode" 2>/dev/null || true' EXIT
	# A signal ends a command, never this shell.
	between_commands=:
	trap : INT
	# What "read -e" needs for history and completion in a script.
	set -o emacs
	bind -x '"\t": complete_line' 2>/dev/null
	bind -x '"\C-c": give_up_line' 2>/dev/null
	HISTFILE=$history_file
	HISTCONTROL=ignoredups:ignorespace
	history -r 2>/dev/null || true

	stand_is_up || warn "the stand is not up; $(shown_script net_init.sh) makes it"
	say "${#NODE_IDS[@]} nodes: ${NODE_IDS[*]}.  \"help\" lists the commands, \"exit\" leaves."
	while [[ $leaving == no ]]; do
		# While a line is read, Ctrl-C is a key like others: as a signal, "read"
		# would keep what was typed so far.
		stty intr undef
		IFS= read -r -e -p "stand> " line || { printf '\n'; break; }
		stty "$terminal_mode"
		if [[ $line != *([[:space:]]) ]]; then
			history -s -- "$line"
			history -a 2>/dev/null || true
		fi
		run_line "$line"
		(( ${interrupted:-0} <= 130 )) || exit "$interrupted"
		interrupted=
	done
}

config=$PGLD_DEFAULT_CONFIG
config_shown=
file=
commands=()
leaving=no
interrupted=
between_commands=-
terminal_mode=
while (( $# > 0 )); do
	case $1 in
		--config) config=$(option_value "$@"); config_shown=$config; shift ;;
		-c) commands+=("$(option_value "$@")"); shift ;;
		-f) file=$(option_value "$@"); shift ;;
		--help) usage; exit 0 ;;
		-h) [[ $# -eq 1 ]] && { usage; exit 0; }; usage_error "there is no option $1" ;;
		-*) usage_error "there is no option $1" "ctl.sh --help says more; -c is for commands, --config for a configuration" ;;
		*) break ;;
	esac
	shift
done
[[ -z $file || ( $# -eq 0 && ${#commands[@]} -eq 0 ) ]] ||
	usage_error "commands come from -f, from -c or from the arguments, not from several of them"
[[ $# -eq 0 || ${#commands[@]} -eq 0 ]] ||
	usage_error "commands come from -c or from the arguments, not from both" "$CONFIG_HINT"
[[ $# -eq 0 ]] || commands=("$*")
for command in ${commands[@]+"${commands[@]}"}; do
	[[ -n ${command//[[:space:]]/} ]] || usage_error "a command is empty"
done

read_stand_config "$config"
find_postgres
choose_colours
shopt -s extglob

if (( ${#commands[@]} > 0 )); then
	run_lines < <(printf '%s\n' "${commands[@]}")
elif [[ -n $file && $file != - ]]; then
	[[ -f $file && -r $file ]] || usage_error "\"$file\" is not a file that can be read"
	# Its name is only printed.
	# shellcheck disable=SC2094
	run_lines "$file" <"$file"
elif [[ -n $file || ! -t 0 ]]; then
	run_lines "standard input"
else
	run_terminal
fi
