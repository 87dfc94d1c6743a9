# shellcheck shell=bash
#
# script/test_stand/show.sh
#	  What ctl.sh and monitor.sh show of the test stand: its nodes, and the links
#	  that are cut or lossy.
#
# Sourced after stand.sh, never run.  Prints what read_nodes, read_servers, read_cuts
# and read_losses have found, and asks nobody.

# What is set here is used by those who source it.
# shellcheck disable=SC2034

# ---- the terminal ----

# Sets ROWS and COLUMNS to the size of the terminal on standard output.
read_terminal_size()
{
	local size

	ROWS=24
	COLUMNS=80
	{ size=$(stty size <&3 2>/dev/null) || return 0; } 3>&1
	# A terminal that does not know its size says "0 0".
	if [[ $size =~ ^([1-9][0-9]*)\ ([1-9][0-9]*)$ ]]; then
		ROWS=${BASH_REMATCH[1]}
		COLUMNS=${BASH_REMATCH[2]}
	fi
}

# Colours on a terminal only, and not against the user's wish (no-color.org).
# WIDTH is what a line may have: all but the last column, where some terminals
# break the line; elsewhere than on a terminal nothing is cut off.
choose_colours()
{
	WIDTH=1000
	RED='' GREEN='' YELLOW='' BOLD='' DIM='' PLAIN=''
	if [[ -t 1 ]]; then
		read_terminal_size
		WIDTH=$((COLUMNS - 1))
		if [[ -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
			RED=$'\033[31m' GREEN=$'\033[32m' YELLOW=$'\033[33m'
			BOLD=$'\033[1m' DIM=$'\033[2m' PLAIN=$'\033[0m'
		fi
	fi
}

# Lines on standard input, cut off at WIDTH; colours have no width.
clip_lines()
{
	awk -v width="$WIDTH" '{
		line = ""
		left = width
		rest = $0
		while (match(rest, /\033\[[0-9]*m/)) {
			line = line substr(rest, 1, RSTART - 1 < left ? RSTART - 1 : left)
			line = line substr(rest, RSTART, RLENGTH)
			left -= RSTART - 1 < left ? RSTART - 1 : left
			rest = substr(rest, RSTART + RLENGTH)
		}
		print line substr(rest, 1, left)
	}'
}

# 340 ms, 12.3 s, 5 min, 3 h
format_age()
{
	if (( $1 < 1000 )); then
		printf '%d ms' "$1"
	elif (( $1 < 100000 )); then
		printf '%d.%d s' "$(($1 / 1000))" "$(($1 % 1000 / 100))"
	elif (( $1 < 6000000 )); then
		printf '%d min' "$(($1 / 60000))"
	else
		printf '%d h' "$(($1 / 3600000))"
	fi
}

# One line about the whole cluster, from what read_nodes has found.  Nodes are
# asked one a moment after another: when a lease has just changed hands, two can
# say that they had one, and the later term is right.
print_leader()
{
	local id state role term lease leader='' leader_term=-1

	for id in "${NODE_IDS[@]}"; do
		IFS='|' read -r state role term _ lease _ <<<"${NODE_ROW[id]:-}" || true
		if [[ $state == "taking part" && $lease != - ]] && (( term > leader_term )); then
			leader=$id
			leader_term=$term
		fi
	done
	if [[ -n $leader ]]; then
		printf '%snode %d holds the lease in term %d%s' "$GREEN" "$leader" "$leader_term" "$PLAIN"
	else
		printf '%sno leader%s' "$YELLOW" "$PLAIN"
	fi
}

# format_server STATE TIMELINE LAG: the columns about a server; the last two only of managed
# ones.
format_server()
{
	if is_managed; then
		printf '%-21s %-8s %-6s' "$@"
	else
		printf '%-6s' "$1"
	fi
}

# print_server ID: of a node that is up.
print_server()
{
	local state='' timeline='' lag=''

	IFS='|' read -r state timeline lag <<<"${NODE_SERVER[$1]:-up}" || true
	format_server "$state" "$timeline" "$lag"
}

# One line for a node, from what read_nodes and read_servers have found.
print_node_row()
{
	local id=$1 condition=${NODE_CONDITION[$1]:-down} colour='' state='' role='' term='' leader='' lease='' abstains='' age='' reason=''

	IFS='|' read -r state role term leader lease abstains age reason <<<"${NODE_ROW[id]:-}" || true
	if [[ $condition != up ]]; then
		[[ $condition == paused ]] && colour=$YELLOW || colour=$DIM
		printf '%s%-4d %s%s\n' "$colour" "$id" "$condition" "$PLAIN"
	elif [[ $state == "does not answer" ]]; then
		# The reason begins where that of a last change does.
		printf '%s%-4d %s %-34s%s %s\n' "$YELLOW" "$id" "$(print_server "$id")" "$state" "$PLAIN" "${NODE_ROW[$id]#*|}"
	elif [[ $state != "taking part" ]]; then
		printf '%s%-4d %s %s%s\n' "$YELLOW" "$id" "$(print_server "$id")" "$state" "$PLAIN"
	else
		[[ $abstains == f ]] || role="$role*"
		if [[ $lease != - ]]; then
			colour=$GREEN
			lease+=" ms"
		elif [[ $role != follower ]]; then
			colour=$YELLOW
		fi
		printf '%s%-4d %s %-14s %-5s %-6s %-6s%s %s ago: %s\n' "$colour" "$id" "$(print_server "$id")" "$role" "$term" \
			"$leader" "$lease" "$PLAIN" "$(format_age "$age")" "$reason"
	fi
}

print_nodes()
{
	local id abstaining=''

	printf '%s%-4s %s %-14s %-5s %-6s %-6s %s%s\n' "$BOLD" node "$(format_server server timeline lag)" role term leader lease "last change" "$PLAIN"
	for id in "${NODE_IDS[@]}"; do
		print_node_row "$id"
		[[ ! ${NODE_ROW[id]:-} =~ ^(taking\ part\|([^|]*\|){4}t\|) ]] || abstaining=yes
	done
	[[ -z $abstaining ]] || printf '* abstains from voting\n'
}

# How a link is for the receiver: "." whole, "x" cut, or per cent lost.
# shellcheck disable=SC2031
link_mark()
{
	if [[ -n ${CUT[$1,$2]:-} ]]; then
		MARK=x
	else
		MARK=${LOSS[$1,$2]:-.}
	fi
}

# Rows send, columns receive; where that is wider than a line, only what is amiss.
print_links()
{
	local to

	# shellcheck disable=SC2031
	if (( ${#CUT[@]} + ${#LOSS[@]} == 0 )); then
		printf 'all links are whole\n'
	elif (( 7 + 4 * ${#NODE_IDS[@]} > WIDTH )); then
		print_link_list
	else
		printf '%sfrom\\to%s' "$BOLD" "$PLAIN"
		for to in "${NODE_IDS[@]}"; do
			printf '%4d' "$to"
		done
		printf '   x: cut, a number: per cent lost\n'
		print_link_rows
	fi
}

print_link_rows()
{
	local from to colour MARK

	for from in "${NODE_IDS[@]}"; do
		printf '%7d' "$from"
		for to in "${NODE_IDS[@]}"; do
			link_mark "$from" "$to"
			case $MARK in
				.) colour=$DIM ;;
				x) colour=$RED ;;
				*) colour=$YELLOW ;;
			esac
			[[ $from != "$to" ]] || MARK=''
			printf '%s%4s%s' "$colour" "$MARK" "$PLAIN"
		done
		printf '\n'
	done
}

print_link_list()
{
	local from to cut lost MARK

	for from in "${NODE_IDS[@]}"; do
		cut=''
		lost=''
		for to in "${NODE_IDS[@]}"; do
			link_mark "$from" "$to"
			case $MARK in
				.) ;;
				x) cut+=" $to" ;;
				*) lost+=" $to ($MARK %)" ;;
			esac
		done
		[[ -z $cut && -z $lost ]] || printf 'from %d:%s%s\n' "$from" "${cut:+ cut to$cut}" "${lost:+ lossy to$lost}"
	done
}
