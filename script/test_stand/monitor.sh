#!/bin/bash
#
# script/test_stand/monitor.sh
#	  Watch the test stand: all nodes and all links on one screen.
#
# For people, and with --once for scripts.  Only reads; whatever it is shown on,
# ctl.sh changes the stand from another terminal.

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
    monitor.sh - watch the test stand

SYNOPSIS
    monitor.sh [-c CONFIG] [-i SECONDS] [--once]

DESCRIPTION
    Shows who holds the lease; each node's server, role, term, the leader that
    it knows, the rest of its lease, and what it did last; and which links are
    cut or lossy.  On a terminal the screen is refreshed in place until Ctrl-C
    or "q"; what does not fit is left out, with a note.  Elsewhere the pictures
    follow each other, with an empty line in between.

    A server is absent (it was never started), down, paused or up.  Of a managed
    node that is up, what its server is and does is shown instead, as
    pg_leaderctl names it, with its timeline and how far it is behind the
    primary.  Nodes are asked side by side, but not in the same instant.

OPTIONS
    -c CONFIG   the configuration, $PGLD_DEFAULT_CONFIG by default
    -i SECONDS  time between two pictures, 1 by default
    --once      one picture
    --help      this text

EXIT STATUS
    0 done, 1 there is no stand, 2 called or configured wrongly
TEXT
}

# The picture, as high and as wide as it comes.
print_picture()
{
	printf '%s%s%s  ' "$BOLD" "$(date +%T)" "$PLAIN"
	if ! stand_is_up; then
		printf 'the stand is not up\n'
		return
	fi
	read_nodes
	read_servers
	read_cuts
	read_losses
	print_leader
	printf '\n\n'
	print_nodes
	printf '\n'
	print_links
}

# The last of too many lines gives way to a note; empty ones go first.
clip_rows()
{
	local -a lines=() full=()
	local line

	mapfile -t lines
	if (( ${#lines[@]} > ROWS )); then
		for line in "${lines[@]}"; do
			[[ -z $line ]] || full+=("$line")
		done
		lines=("${full[@]}")
	fi
	if (( ${#lines[@]} > ROWS )); then
		line="... $((${#lines[@]} - ROWS + 1)) more lines do not fit"
		lines=("${lines[@]:0:ROWS - 1}" "$PLAIN${line:0:WIDTH}")
	fi
	printf '%s\n' "${lines[@]}"
}

# ---- a terminal ----

leave_screen()
{
	trap - EXIT
	[[ -z $sleeper ]] || kill "$sleeper" 2>/dev/null || true
	# Cursor shown, lines wrapped, and the screen as it was before.
	printf '\033[?25h\033[?7h\033[?1049l'
	[[ -z $terminal_mode ]] || stty "$terminal_mode" 2>/dev/null || true
}

enter_screen()
{
	trap leave_screen EXIT
	trap 'exit 0' INT TERM HUP
	if [[ -t 0 ]]; then
		terminal_mode=$(stty -g)
		# Keys must not appear in the picture.
		stty -echo
	fi
	printf '\033[?1049h\033[?25l\033[?7l\033[2J'
}

# Each line is erased behind its end, and the rest of the screen below: what stays
# the same is never blank in between.
draw()
{
	local picture

	read_terminal_size
	WIDTH=$((COLUMNS - 1))
	# What goes wrong because the stand is taken down just now is in one picture.
	picture=$(print_picture 2>&1 | clip_lines | clip_rows) || true
	printf '\033[H%s\033[K\033[J' "${picture//$'\n'/$'\033[K\n'}"
}

# Waits, or returns 1 when somebody wants to leave.
pause_between()
{
	local key status=0

	if [[ -t 0 ]]; then
		IFS= read -rsn1 -t "$interval" key || status=$?
		# Above 128 the time is over; below, the terminal has gone.
		(( status > 128 )) || [[ $status -eq 0 && $key != [qQ] ]]
	else
		# Not in the foreground, where it would hold up the traps.
		sleep "$interval" &
		sleeper=$!
		wait "$sleeper"
	fi
}

watch_stand()
{
	terminal_mode=
	sleeper=
	enter_screen
	while :; do
		draw
		pause_between || break
	done
}

config=$PGLD_DEFAULT_CONFIG
config_shown=
interval=1
once=no
while (( $# > 0 )); do
	case $1 in
		-c | --config) config=$(option_value "$@"); config_shown=$config; shift ;;
		-i | --interval) interval=$(option_value "$@"); shift ;;
		--once) once=yes ;;
		-h | --help) usage; exit 0 ;;
		-*) usage_error "there is no option $1" ;;
		*) usage_error "no argument is needed, not even \"$1\"" ;;
	esac
	shift
done
check_interval "$interval"

read_stand_config "$config"
require_stand "$config_shown"
find_postgres
choose_colours

if [[ $once == yes ]]; then
	print_picture | clip_lines
elif [[ -t 1 ]]; then
	watch_stand
else
	while :; do
		( print_picture ) || true
		say
		sleep "$interval"
	done
fi
