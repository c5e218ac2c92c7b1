#!/bin/sh
# Runs one script as the first process of its container: runner.sh [--shell] [OPTION VALUE]... SCRIPT
#
# Where a python3 works, runner.py does all of it (see there for the options). Where none does, this does it with what
# every POSIX shell has built in: it frames what the script prints, line by line, and reports last. What a shell
# cannot know it reports as null; bytes of value 0 are lost; a line that does not fit under the output limit, or in the
# reader's memory, is dropped whole with all after it; and the script finds SIGINT and SIGQUIT ignored, as everything
# does that such a shell runs in the background. SIGTERM goes to all that runs in the container, for a shell without a
# terminal makes no process groups. Where there is neither a `sleep` nor a `read -t`, a deadline is left to the engine.
#
# The processes:   this shell (PID 1)  starts the others, waits for the script, writes the report
#                    |- the script
#                    |- frame stdout   reads what the script prints ...
#                    |- frame stderr   ... and writes frames
#                    `- wake           says that time is over
#
# All of them have one uid, so a script can write into any pipe and kill any process but the first of its container.
# That one learns from wait(2) alone how the script ended, and exits so.
#
# Descriptors: 3 the script's stdout, 4 the container's stdout, 6 the script's stderr.

longest_line=4000000
unknown=137 # the exit code of what nobody knows the end of, as in report.py
newline='
'
blank=' 	'
cr=$(printf '\r')

# python.sh has found out, in the init container, which one works.
with_python() {
    [ -r "$home/hwinfo/python" ] && IFS= read -r python <"$home/hwinfo/python" && [ -x "$python" ] || return
    exec "$python" -I -S -B "${0%.sh}.py" "$@"
}

options() {
    timeout=0 grace=10 limit=10485760 home=/home/amun account=
    while [ $# -gt 1 ]; do
        case $1 in
            --output-limit) limit=$2 ;;
            --home) home=$2 ;;
            --account) account=$2 ;;
            --timeout) timeout=$2 ;;
            --grace) grace=$2 ;;
            *) break ;;
        esac
        shift 2
    done
    script=$1
}

# What a shell says of a file that is not there would end up in the container's log.
read_text() {
    text=
    [ -r "$1" ] || return 1
    while IFS= read -r line || [ -n "$line" ]; do
        text=$text$line$newline
    done <"$1"
}

# The same function is in hwinfo.sh: each of the two is mounted and run by itself.
json_string() {
    rest=$1 escaped=
    while plain=${rest%%[\"\\[:cntrl:]]*} && escaped=$escaped$plain && [ "$plain" != "$rest" ]; do
        rest=${rest#"$plain"}
        tail=${rest#?}
        case $rest in
            \"*) escaped=$escaped'\"' ;;
            \\*) escaped=$escaped'\\' ;;
            "$newline"*) escaped=$escaped'\n' ;;
            *) escaped=$escaped$(printf '\\u%04x' "'${rest%"$tail"}") ;;
        esac
        rest=$tail
    done
    json=\"$escaped\"
}

json_or_null() {
    if [ -n "$1" ]; then json_string "$1"; else json=null; fi
}

json_file() {
    read_text "$1" || read_text "$2"
    json_or_null "$text"
}

count_oom_kills() {
    oom_kills=0
    for source in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
        if [ -r "$source" ]; then
            while read -r name value; do
                [ "$name" != oom_kill ] || oom_kills=$value
            done <"$source"
            return
        fi
    done
}

# seen PATH LINES: put what a file of the kernel begins with into `kernel`, if it is there.
seen() {
    [ -r "$1" ] || return 0
    text='' lines=$2
    while [ "$lines" -gt 0 ] && IFS= read -r line; do
        text=$text$line$newline lines=$((lines - 1))
    done <"$1"
    json_string "$text"
    kernel="$kernel${kernel:+, }\"$1\": $json"
} 2>/dev/null

# What the kernel counts at this moment: the machine, and the container's cgroup. Each byte is a system call in some
# shells, so that what is long stays unread.
look() {
    kernel=
    seen /proc/uptime 1
    seen /proc/stat 1
    seen /proc/loadavg 1
    seen /sys/devices/system/cpu/online 1
    seen /proc/pressure/cpu 2
    seen /proc/pressure/memory 2
    seen /proc/pressure/io 2
    # The first of all groups counts for all.
    groups=/sys/fs/cgroup
    if [ -r $groups/cgroup.events ]; then
        seen $groups/cpu.stat 16
        seen $groups/cpu.max 1
        seen $groups/cpu.pressure 2
        seen $groups/memory.pressure 2
        seen $groups/io.pressure 2
    elif [ ! -e $groups/cpu/release_agent ]; then
        seen $groups/cpu/cpu.stat 16
        seen $groups/cpu/cpu.cfs_quota_us 1
        seen $groups/cpu/cpu.cfs_period_us 1
        seen $groups/cpuacct/cpuacct.usage 1
    fi
}

# The time in RFC 3339 into `now`: what the machine's clock says of its start and since, by the calendar of
# https://howardhinnant.github.io/date_algorithms.html. Nothing is started for it: there may be no process left to have.
tell_time() {
    now=''
    # Once, for it comes after long lines.
    [ -n "$booted" ] || while read -r name booted _ && [ "$name" != btime ]; do :; done </proc/stat
    [ -n "$booted" ] && read -r moment _ </proc/uptime || return 0
    hundredths "$moment"
    moment=$((booted * 100 + hundredths))
    days=$((moment / 8640000 + 719468)) clock=$((moment % 8640000))
    era=$((days / 146097)) days=$((days % 146097))
    year=$(((days - days / 1460 + days / 36524 - days / 146096) / 365))
    days=$((days - 365 * year - year / 4 + year / 100))
    month=$(((5 * days + 2) / 153))
    day=$((days - (153 * month + 2) / 5 + 1)) month=$((month < 10 ? month + 3 : month - 9))
    year=$((year + era * 400 + (month < 3)))
    now=$year
    two_digits - $month
    two_digits - $day
    two_digits T $((clock / 360000))
    two_digits : $((clock / 6000 % 60))
    two_digits : $((clock / 100 % 60))
    two_digits . $((clock % 100))
    now=${now}0000Z
} 2>/dev/null

two_digits() {
    now=$now$1$(($2 / 10))$(($2 % 10))
}

# All that is reported and is known before the script could change it.
look_around() {
    booted=
    json_file "$home/hwinfo/info.json" ''
    known='"hwinfo": '$json
    json_file /etc/os-release /usr/lib/os-release
    known="$known, \"os_release\": $json"
    json_file /usr/local/cuda/version.json /usr/local/cuda/version.txt
    known="$known, \"cuda\": $json"
    json_file /opt/amun/packages ''
    known="$known, \"packages\": $json"
    read_text /proc/sys/kernel/hostname
    json_or_null "${text%"$newline"}"
    brief="\"python_version\": null, \"hostname\": $json"
    digest=$(sha256sum "$script" 2>/dev/null)
    json_or_null "${digest%% *}"
    brief="$brief, \"script_sha256\": $json"
    count_oom_kills
    oom_kills_before=$oom_kills
    look
    before=$kernel
    tell_time
    json_or_null "$now"
    brief="$brief, \"start_datetime\": $json"
}

# As in runner.py: what nobody sees in the first line of a script and keeps it from being understood.
hint() {
    case $first in
        "$(printf '\357\273\277')#!"*)
            echo 'amun: the script begins with a byte order mark: its first line, #!, does not count'
            ;;
        '#!'*"$cr")
            printf '%s\n' 'amun: the script has Windows line ends: its interpreter is not found by a name that ends in \r'
            ;;
    esac
}

# As in runner.py. What the shell itself says names the script where its interpreter is missing.
cannot_execute() {
    case $1 in
        127) why='No such file or directory' ;;
        *) why='Permission denied' ;;
    esac
    [ -z "$interpreter" ] || why="cannot execute its interpreter '$interpreter': $why"
    printf 'amun: %s: %s\n' "$script" "$why"
    trap - EXIT
    exit "$1"
}

# The interpreter that the first line names, and its argument, into `interpreter`.
look_at_interpreter() {
    interpreter=
    case $first in '#!'*) ;; *) return 0 ;; esac
    interpreter=${first#'#!'}
    interpreter=${interpreter#"${interpreter%%[!$blank]*}"}
    interpreter=${interpreter%"${interpreter##*[!$blank]}"}
    file=${interpreter%%[$blank]*}
    case $interpreter in *"$cr") interpreter=${interpreter%"$cr"}'\r' ;; esac
    [ -n "$file" ] || return 0
    [ -e "$file" ] || cannot_execute 127
    [ -f "$file" ] && [ -x "$file" ] || cannot_execute 126
}

become_script() {
    exec 2>&6 6>&- 4>&- </dev/null
    trap - TERM INT HUP ALRM
    # When memory runs out the kernel is to take the script, not those who have its output.
    [ ! -w /proc/self/oom_score_adj ] || echo 1000 >/proc/self/oom_score_adj
    cd "$home" 2>/dev/null || :
    case ${HOME-} in '' | /) export HOME="$home" ;; esac
    [ ! -d /opt/amun/venv/bin ] || export PATH="/opt/amun/venv/bin:$PATH"
    IFS= read -r first <"$script" || :
    hint >&2
    look_at_interpreter >&2
    # For what only the kernel finds out, as that the interpreter's own interpreter is missing. bash has words of its own.
    trap 'cannot_execute $? >&2' EXIT
    exec "$script" >&3 3>&-
}

frame() {
    # So that lengths are in bytes; not for the script.
    LC_ALL=C
    cut=0 left=$limit
    while IFS= read -r line && kind=F || { kind=P && [ -n "$line" ]; }; do
        cost=$((${#line} + 1))
        # As in runner.py, lest a log of short lines be nothing but frames around them.
        [ $cost -ge 16 ] || cost=16
        left=$((left - cost))
        if [ $left -lt 0 ] || [ ${#line} -gt $longest_line ]; then
            cut=1
            printf 'report F {"truncated": {"%s": true}}\n' "$1"
            cat >/dev/null 2>&1 || while read -r line; do :; done
            break
        fi
        printf '%s %s %s\n' "$1" "$kind" "$line"
    done
    exit $cut
}

# connect DESCRIPTOR STREAM: have what is written to a descriptor of this shell framed. The first process of the pipe
# does nothing but hold it until it is open here. The number is taken before, or the shell might use it for a moment.
connect() {
    eval "exec $1</dev/null"
    while [ -c "/proc/$$/fd/$1" ]; do :; done | { exec 3>&- >&4; frame "$2"; } &
    until [ -p "/proc/$!/fd/0" ]; do [ -e "/proc/$!/fd/0" ] || exit 1; done
    eval "exec $1>/proc/$!/fd/0; reader_$2=$!"
    ours="$ours $!"
}

# await PID: its exit code into `code`, whatever signals interrupt the waiting.
await() {
    while
        interrupted=no
        wait "$1"
        code=$?
        [ $interrupted = yes ]
    do
        kill -0 "$1" 2>/dev/null && continue
        # It has ended: some shells have told how already and forgotten it, others have still to tell. bash may have lost
        # it to the signal, and then waits for as long as it has another child, until SIGALRM comes.
        [ -z "${BASH_VERSION-}" ] || wake 1
        wait "$1" 2>/dev/null
        late=$?
        case $late in
            127) ;;
            142) code=$unknown ;;
            *) code=$late ;;
        esac
        return
    done
}

# 1.5 -> 150
hundredths() {
    case $1 in
        *.*) fraction=${1#*.}00 ;;
        *) fraction=00 ;;
    esac
    fraction=${fraction%"${fraction#??}"}
    hundredths=$((${1%%.*} * 100 + 1$fraction - 100))
}

# after SECONDS: the moment of the machine's clock, in hundredths of a second.
after() {
    hundredths "$1"
    after=$hundredths
    read -r moment _ </proc/uptime
    hundredths "$moment"
    after=$((hundredths + after))
}

# Where there is no sleep, a shell may have a clock in what POSIX does not know of: a pipe that nobody writes to.
pause() {
    sleep "$1" || : | read -r -t "$1" _ <>/proc/self/fd/0
}

# wake SECONDS...: send SIGALRM here when they are over, one after the other. Others may send it too, so that who gets it
# has to look at the clock.
wake() {
    {
        trap '' TERM
        exec </dev/null >/dev/null 2>&1 3>&- 4>&- 6>&-
        for seconds in "$@"; do
            pause "$seconds"
            kill -ALRM $$
        done
    } &
    clocks="$clocks $!"
}

# Ask the script to end; what is left of it after the grace is killed. Asking twice gives no more time.
terminate() {
    [ -z "$kill_at" ] || return 0
    after "$grace"
    kill_at=$after sent=TERM
    ask
}

stop() {
    interrupted=yes
    [ -n "$kill_at" ] || { terminate; wake "$grace"; }
}

# Clocks are deaf to it.
ask() {
    if [ $$ -eq 1 ]; then kill -TERM -1; else [ -z "$pid" ] || kill -TERM "$pid"; fi
} 2>/dev/null

alarm() {
    interrupted=yes
    after 0
    if [ -n "$kill_at" ]; then
        [ "$after" -lt "$kill_at" ] || { sent=KILL && kill_all; }
    elif [ -n "$deadline" ] && [ "$after" -ge "$deadline" ]; then
        deadline_exceeded=true
        terminate
    fi
}

kill_all() {
    if [ $$ -eq 1 ]; then kill_others; else kill -9 "$pid"; fi
} 2>/dev/null

# Kill all but those who frame. Others may be starting new ones meanwhile, so look again, but not for ever: the dead who
# are not buried yet count too.
kill_others() {
    [ $$ -eq 1 ] || return 0
    passes=0 found=yes
    while [ $found = yes ] && [ $passes -lt 20 ]; do
        found=no passes=$((passes + 1))
        for process in /proc/[0-9]*; do
            case " 1 $ours " in *" ${process#/proc/} "*) continue ;; esac
            ! kill -9 "${process#/proc/}" || found=yes
        done
    done
    # One that was stopped could not see that there is nothing more to read.
    kill -CONT $ours
} 2>/dev/null

# Whether anything lives that the script has left behind.
left_behind() {
    [ $$ -eq 1 ] || return
    for process in /proc/[0-9]*; do
        case " 1 $ours $clocks " in *" ${process#/proc/} "*) continue ;; esac
        read -r stat <"$process/stat" || continue
        stat=${stat##*) }
        parent=${stat#? }
        case $stat in [ZX]*) continue ;; esac
        case " $clocks " in *" ${parent%% *} "*) continue ;; esac
        return
    done
    return 1
} 2>/dev/null

# What the script left behind has half a second to print its last. The clock is asked over and over, because nothing else
# is certain to be there, and whatever is started here can be stopped by others.
drain() {
    after 0.5
    end=$after
    while left_behind && after 0 && [ "$after" -lt "$end" ]; do :; done
    kill_others
    # bash forgets a child that ends just as a signal comes, and may then wait until it has no other left.
    # shellcheck disable=SC2086
    kill -9 $clocks 2>/dev/null
}

# In ticks of a hundredth of a second (proc(5)), what the children of this shell have used that it has waited for.
children_time() {
    user=0 system=0
    read -r stat <"/proc/$$/stat" || return
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    user=${14} system=${15}
} 2>/dev/null

# ticks BEFORE AFTER -> seconds
seconds() {
    ticks=$(($2 - $1))
    seconds=$((ticks / 100)).$((ticks / 10 % 10))$((ticks % 10))
}

# The name of the signal that ended the script into `signal`. The code alone does not tell: `exit 137` looks the same. But
# shells have words for the one and none for the other, which are taken from where they were put: the name of this
# process, which no other one can change (proc(5)). Of SIGINT and SIGPIPE they say nothing, some not of SIGTERM,
# or of what ended while a signal was handled: what was sent from here is known anyway.
name_signal() {
    signal=
    [ "$exit_code" -gt 128 ] || return
    number=$((exit_code - 128))
    set -- HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU \
        URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS
    name=$number
    [ $number -gt $# ] || { shift $((number - 1)) && name=$1; }
    if [ "$name_after" != "$name_before" ] || [ "$name" = "$sent" ]; then signal=SIG$name; fi
} 2>/dev/null

report() {
    name_signal
    json_or_null "$signal"
    signal=$json
    count_oom_kills
    oom=false
    [ "$oom_kills" -le "$oom_kills_before" ] || oom=true
    brief="\"exit_code\": $exit_code, \"signal\": $signal, \"usage\": {$usage}, \
\"oom_killed\": $oom, \"truncated\": {\"stdout\": $truncated_stdout, \"stderr\": $truncated_stderr}, \
\"deadline_exceeded\": $deadline_exceeded, \"end_datetime\": $end_datetime, $brief"
    printf '\nreport F {%s, %s, "kernel": {"before": {%s}, "after": {%s}}}\n' "$brief" "$known" "$before" "$kernel"
    leave
}

# The short part of the report, where the engine reads it without reading a log.
leave() {
    [ ! -w "$account" ] || printf '{%s}' "$brief" >"$account"
}

# Whoever got a SIGTERM before having said that it ignores it would be lost, so that all are born ignoring it.
start() {
    exec 4>&1 </dev/null 2>/dev/null
    kill_at='' sent='' deadline='' deadline_exceeded=false pid='' ours='' clocks='' moment=0
    trap '' TERM INT HUP ALRM
    connect 3 stdout
    connect 6 stderr
    trap stop TERM INT HUP
    trap alarm ALRM
    ! printf waiting >/proc/self/comm || exec 2>/proc/self/comm
    IFS= read -r name_before <"/proc/$$/comm"
    children_time
    user_before=$user system_before=$system
    become_script &
    pid=$!
    [ -z "$kill_at" ] || ask
    hundredths "$timeout"
    [ "$hundredths" -eq 0 ] || { after "$timeout" && deadline=$after && wake "$timeout" "$grace"; }
}

finish() {
    await "$pid"
    exit_code=$code deadline=''
    # What is in there may break lines, also those of other files.
    IFS= read -r name_after <"/proc/$$/comm"
    exec 2>/dev/null
    printf reports >/proc/self/comm
    children_time
    look
    tell_time
    json_or_null "$now"
    end_datetime=$json
    seconds "$user_before" "$user"
    usage="\"ru_utime\": $seconds"
    seconds "$system_before" "$system"
    usage="$usage, \"ru_stime\": $seconds"
    # So that those who read see an end, once nobody else can print.
    exec 3>&- 6>&-
    drain
    await "$reader_stdout"
    [ "$code" -eq 0 ] && truncated_stdout=false || truncated_stdout=true
    await "$reader_stderr"
    [ "$code" -eq 0 ] && truncated_stderr=false || truncated_stderr=true
}

with_shell() {
    look_around
    # What is said of a run that is killed.
    printf 'report F {%s, %s, "kernel": {"before": {%s}}}\n' "$brief" "$known" "$before"
    leave
    start
    finish
    report >&4
    exit "$exit_code"
}

if [ "$1" = --shell ]; then
    shift
    options "$@"
else
    options "$@"
    with_python "$@"
fi
with_shell
