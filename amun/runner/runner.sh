#!/bin/sh
# Runs one script as the first process of its container: runner.sh [--shell] [OPTION VALUE]... SCRIPT
#
# Where a python3 works, runner.py does all of it (see there for the options). Where none does, this does it with what
# every POSIX shell has built in: it frames what the script prints, line by line, and reports last. What a shell
# cannot know it reports as null; a deadline is left to the engine; bytes of value 0 are lost; a line that does not fit
# under the output limit, or in the reader's memory, is dropped whole with all after it; and the script finds SIGINT and
# SIGQUIT ignored, as everything does that such a shell runs in the background.
#
# The processes:   this shell (PID 1)  waits, passes SIGTERM on
#                    `- inspect        starts the others deaf to signals, waits for them
#                       |- start        runs the script, tells its exit code and its times
#                       |- frame stderr reads what the script prints ...
#                       |- frame stdout ... and writes frames
#                       `- conclude     is told by the others, kills what is left behind, writes the report
#
# Descriptors: 3 the script's stdout, 4 the container's stdout, 5 what conclude is told, 6 the script's stderr.

longest_line=4000000
newline='
'

# python.sh has found out, in the init container, which one works.
with_python() {
    [ -r "$home/hwinfo/python" ] && IFS= read -r python <"$home/hwinfo/python" && [ -x "$python" ] || return
    exec "$python" -I -S -B "${0%.sh}.py" "$@"
}

options() {
    limit=10485760 home=/home/amun account=
    while [ $# -gt 1 ]; do
        case $1 in
            --output-limit) limit=$2 ;;
            --home) home=$2 ;;
            --account) account=$2 ;;
            --timeout | --grace) ;;
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

now() {
    date -u +%Y-%m-%dT%H:%M:%SZ 2>/dev/null
}

# All that is reported and is known before the script could change it.
look_around() {
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
    json_or_null "$(now)"
    brief="$brief, \"start_datetime\": $json"
}

# Tell conclude the number of this process: $$ is that of the first shell everywhere.
introduce() {
    pid=0 parent=0
    [ ! -r /proc/self/stat ] || read -r pid _ _ parent _ </proc/self/stat
    echo "ours $pid" >&5
}

# As in runner.py: what nobody sees in the first line of a script and keeps it from being understood.
hint() {
    IFS= read -r first <"$script" || :
    case $first in
        "$(printf '\357\273\277')#!"*)
            echo 'amun: the script begins with a byte order mark: its first line, #!, does not count'
            ;;
        '#!'*"$(printf '\r')")
            printf '%s\n' 'amun: the script has Windows line ends: its interpreter is not found by a name that ends in \r'
            ;;
    esac
} >&6 2>/dev/null

become_script() {
    trap - TERM INT HUP
    # When memory runs out the kernel is to take the script, not those who have its output.
    [ ! -w /proc/self/oom_score_adj ] || echo 1000 >/proc/self/oom_score_adj
    cd "$home" 2>/dev/null || :
    case ${HOME-} in '' | /) export HOME="$home" ;; esac
    [ ! -d /opt/amun/venv/bin ] || export PATH="/opt/amun/venv/bin:$PATH"
    hint
    exec "$script" </dev/null 2>&6 3>&- 4>&- 5>&- 6>&-
}

start() {
    introduce
    # The shell's own words ("Killed") are not the script's.
    exec 6>&2 2>/dev/null
    (become_script)
    code=$?
    { times && echo "exit $code"; } >&5
}

frame() {
    introduce
    # So that lengths are in bytes; not for the script.
    LC_ALL=C
    truncated=false left=$limit
    while IFS= read -r line && kind=F || { kind=P && [ -n "$line" ]; }; do
        cost=$((${#line} + 1))
        # As in runner.py, lest a log of short lines be nothing but frames around them.
        [ $cost -ge 16 ] || cost=16
        left=$((left - cost))
        if [ $left -lt 0 ] || [ ${#line} -gt $longest_line ]; then
            truncated=true
            printf 'report F {"truncated": {"%s": true}}\n' "$1"
            cat >/dev/null 2>&1 || while read -r line; do :; done
            break
        fi
        printf '%s %s %s\n' "$1" "$kind" "$line"
    done
    echo "end $1 $truncated" >&5
} >&4

# Kill all but those who work on the report. Others may be starting new ones meanwhile, so look again, but not for
# ever: the dead who are not buried yet count too.
kill_others() {
    [ $$ -eq 1 ] || return 0
    read -r self _ </proc/self/stat
    passes=0 found=yes
    while [ $found = yes ] && [ $passes -lt 20 ]; do
        found=no passes=$((passes + 1))
        for process in /proc/[0-9]*; do
            case " 1 $self $ours " in *" ${process#/proc/} "*) continue ;; esac
            ! kill -9 "${process#/proc/}" 2>/dev/null || found=yes
        done
    done
}

# What the script left behind has a second to print its last, where there is a clock for it.
kill_others_soon() {
    sleep 1
    kill_others
}

conclude() {
    introduce 5>/dev/null
    exec 2>/dev/null
    ours="$pid $parent" introduced=0 ended=0 code='' soon=''
    while [ $ended -lt 2 ] && read -r word first second; do
        case $word in
            ours) ours="$ours $first" introduced=$((introduced + 1)) ;;
            exit) code=$first && look ;;
            end) ended=$((ended + 1)) && eval "truncated_$first=$second" ;;
            *) user=$word system=$first ;;
        esac
        if [ $introduced -eq 5 ] && [ "$code" ]; then
            introduced=0
            # In parentheses, or this shell would keep what is closed here open elsewhere.
            (kill_others_soon) >/dev/null 4>&- &
            soon=$!
        fi
    done
    # First the one that would kill what the report is written with.
    [ -z "$soon" ] || { kill -9 $soon && wait $soon; }
    kill_others
    report >&4
    exit "$code"
}

# 1m2.34s as the builtin `times` prints it -> 62.34
seconds() {
    fraction=${1#*m}
    fraction=${fraction%s}
    seconds=$((${1%%m*} * 60 + ${fraction%%[.,]*})).${fraction##*[.,]}
}

report() {
    seconds "$user" && user=$seconds
    seconds "$system" && system=$seconds
    signal=
    [ "$code" -le 128 ] || signal=$(kill -l "$code" 2>/dev/null)
    json_or_null "${signal:+SIG${signal#SIG}}"
    signal=$json
    count_oom_kills
    oom=false
    [ "$oom_kills" -le "$oom_kills_before" ] || oom=true
    json_or_null "$(now)"
    brief="\"exit_code\": $code, \"signal\": $signal, \"usage\": {\"ru_utime\": $user, \"ru_stime\": $system}, \
\"oom_killed\": $oom, \"truncated\": {\"stdout\": $truncated_stdout, \"stderr\": $truncated_stderr}, \
\"deadline_exceeded\": false, \"end_datetime\": $json, $brief"
    printf '\nreport F {%s, %s, "kernel": {"before": {%s}, "after": {%s}}}\n' "$brief" "$known" "$before" "$kernel"
    leave
}

# The short part of the report, where the engine reads it without reading a log.
leave() {
    [ ! -w "$account" ] || printf '{%s}' "$brief" >"$account"
}

terminate() {
    interrupted=yes
    [ $$ -ne 1 ] || kill -TERM -1
}

# Whoever got a SIGTERM before having said that it ignores it would take the report along.
inspect() {
    trap '' TERM INT HUP
    {
        introduce
        {
            introduce
            start 2>&1 >&3 3>&- | frame stderr 3>&-
        } 3>&1 | frame stdout
    } 5>&1 | conclude
}

with_shell() {
    look_around
    trap terminate TERM INT HUP
    # What is said of a run that is killed.
    printf 'report F {%s, %s, "kernel": {"before": {%s}}}\n' "$brief" "$known" "$before"
    leave
    exec 4>&1
    inspect &
    inspect=$!
    while interrupted=no && wait $inspect; code=$? && [ $interrupted = yes ]; do :; done
    exit $code
}

if [ "$1" = --shell ]; then
    shift
    options "$@"
else
    options "$@"
    with_python "$@"
fi
with_shell
