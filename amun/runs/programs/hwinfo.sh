#!/bin/sh
# Describes the machine it runs on: hwinfo.sh OUTPUT [ROOT [ACCOUNT]]
#
# ROOT is where /proc and /sys are looked for, if not in /. ACCOUNT gets the short part of the description, for an engine
# that reads it without reading a log: 4 KiB at most, in Kubernetes.
#
# Writes one JSON object in the structure that py-cpuinfo 7 and numpy.distutils.cpuinfo gave to readers of the original
# service (cpu_info, cpu_features, cpu_type, platform), and `memory`, `gpus` and `cgroup` beside them. Only what every
# POSIX shell has built in is used, so that it works in any image and within milliseconds. What cannot be read is null,
# and nothing makes it fail: a run without a description is better than none.
#
# Two counts are added to cpu_info: `cores` (physical ones) and `sockets`; `count` is that of logical CPUs.
#
# Meanwhile python.sh finds the python3 that the runner can be run by, and writes its path into `python` beside OUTPUT. It
# does so here because in the container of the script every process that was tried would count among the script's
# children (getrusage(2)), and take its time.

newline='
'
tab='	'
proc=${2-}/proc
cpus=${2-}/sys/devices/system/cpu
groups=${2-}/sys/fs/cgroup

# The same function is in runner.sh: each of the two is mounted and run by itself.
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

# member NAME TEXT: a string, or null if there is none. number NAME TEXT: an integer, or null for anything else.
member() {
    if [ -n "$2" ]; then json_string "$2"; else json=null; fi
    members="$members${members:+, }\"$1\": $json"
}

number() {
    case $2 in
        '' | *[!0-9]*) json=null ;;
        *) leading=${2%%[!0]*} && json=${2#"$leading"} && json=${json:-0} ;;
    esac
    members="$members${members:+, }\"$1\": $json"
}

raw() {
    members="$members${members:+, }\"$1\": $2"
}

# Whether a list separated by spaces has a word, as JSON.
has() {
    case " $1 " in *" $2 "*) json=true ;; *) json=false ;; esac
}

# Whether a text matches a shell pattern, as JSON.
like() {
    # shellcheck disable=SC2254
    case $1 in $2) json=true ;; *) json=false ;; esac
}

first_line() {
    value=
    [ ! -r "$1" ] || IFS= read -r value 2>/dev/null <"$1" || :
}

trim() {
    value=${1#"${1%%[! $tab]*}"}
    value=${value%"${value##*[! $tab]}"}
}

# The first CPU's lines are enough, and those of 256 take long to read byte by byte. Understands x86, arm64, ppc64le
# and s390x.
read_cpuinfo() {
    vendor='' brand='' family='' model='' stepping='' flags='' mhz='' cores_each='' listed=0
    [ -r "$proc"/cpuinfo ] || return 0
    while IFS=: read -r name rest; do
        trim "$name" && name=$value
        trim "$rest"
        case $name in
            '') [ -z "$brand$flags" ] || break ;;
            vendor_id) vendor=$value ;;
            'model name' | cpu) brand=$value ;;
            'cpu family') family=$value ;;
            model) model=$value ;;
            stepping) stepping=$value ;;
            flags | Features | features) flags=$value ;;
            'cpu MHz' | clock) mhz=${value%MHz} ;;
            'cpu cores') cores_each=$value ;;
            '# processors') listed=$value ;;
        esac
    done <"$proc"/cpuinfo
}

# 0-3,8,10-11 -> 7
count_list() {
    value=0
    list=$1,
    while [ -n "${list%,}" ]; do
        range=${list%%,*}
        list=${list#*,}
        value=$((value + ${range#*-} - ${range%-*} + 1))
    done
}

count_cpus() {
    first_line "$cpus"/online
    case $value in
        '' | *[!0-9,-]*) value=$listed ;;
        *) count_list "$value" ;;
    esac
    count=$value
    [ "$count" != 0 ] || count=
}

# Cores and sockets are told apart by the ids that the kernel gives to each CPU.
count_cores() {
    cores=0 sockets=0 seen_cores='' seen_sockets=''
    for topology in "$cpus"/cpu[0-9]*/topology; do
        first_line "$topology/physical_package_id"
        [ -n "$value" ] || continue
        socket=$value
        first_line "$topology/core_id"
        has "$seen_sockets" "$socket"
        [ $json = true ] || sockets=$((sockets + 1)) seen_sockets="$seen_sockets $socket"
        has "$seen_cores" "$socket:$value"
        [ $json = true ] || cores=$((cores + 1)) seen_cores="$seen_cores $socket:$value"
    done
    [ $sockets -gt 0 ] || sockets=
    [ $cores -gt 0 ] || cores=$cores_each
}

# 2445.430 (MHz) -> 2445430000 (Hz), 2.4454 GHz
frequency() {
    hertz='' friendly=''
    case $1 in '' | *[!0-9.]* | .*) return ;; esac
    fraction=000000
    case $1 in *.*) fraction=${1#*.}000000 ;; esac
    fraction=${fraction%"${fraction#??????}"}
    # A leading 1 keeps the shell from reading 099 as an octal number.
    hertz=$((${1%%.*} * 1000000 + 1$fraction - 1000000))
    tenths=$(((hertz + 50000) / 100000))
    decimals=$((tenths % 10000 + 10000))
    friendly="$((tenths / 10000)).${decimals#1} GHz"
}

# What the brand promises, as in "... CPU @ 2.60GHz"; else py-cpuinfo repeats the actual frequency.
advertised() {
    case $brand in
        *@*[0-9]GHz)
            trim "${brand##*@}"
            value=${value%GHz}
            case $value in
                [0-9].[0-9][0-9]) frequency "${value%%.*}${value#*.}0" ;;
            esac
            ;;
    esac
}

machine() {
    first_line "$proc"/sys/kernel/arch
    machine=$value
    [ -n "$machine" ] || machine=$(uname -m 2>/dev/null)
    case $machine in
        x86_64) arch=X86_64 bits=64 ;;
        aarch64) arch=ARM_8 bits=64 ;;
        armv7*) arch=ARM_7 bits=32 ;;
        ppc64 | ppc64le) arch=PPC_64 bits=64 ;;
        s390x) arch=S390X bits=64 ;;
        riscv64) arch=RISCV_64 bits=64 ;;
        i?86) arch=X86_32 bits=32 ;;
        *) arch='' bits='' ;;
    esac
}

cache_bytes() {
    case $1 in
        *K) value=$((${1%K} * 1024)) ;;
        *M) value=$((${1%M} * 1048576)) ;;
        *) value=$1 ;;
    esac
}

read_caches() {
    l1d='' l1i='' l2='' l3='' ways='' line_size=''
    for cache in "$cpus"/cpu0/cache/index[0-9]*; do
        first_line "$cache/level" && level=$value
        first_line "$cache/type" && kind=$value
        first_line "$cache/size" && cache_bytes "$value"
        case $level$kind in
            1Data) l1d=$value ;;
            1Instruction) l1i=$value ;;
            2*)
                l2=$value
                first_line "$cache/ways_of_associativity" && ways=$value
                first_line "$cache/coherency_line_size" && line_size=$value
                ;;
            3*) l3=$value ;;
        esac
    done
}

cpu_info() {
    members=
    member arch "$arch"
    member arch_string_raw "$machine"
    number bits "$bits"
    member brand_raw "$brand"
    number cores "$cores"
    number count "$count"
    # Of the structure; py-cpuinfo itself is not used.
    raw cpuinfo_version '[7, 0, 0]'
    member cpuinfo_version_string 7.0.0
    number family "$family"
    member hz_actual_friendly "$actual_friendly"
    member hz_advertised_friendly "$friendly"
    number l2_cache_associativity "$ways"
    number l2_cache_line_size "$line_size"
    number model "$model"
    number sockets "$sockets"
    number stepping "$stepping"
    member vendor_id_raw "$vendor"
    info="{$members}"
}

pair() {
    if [ -n "$2" ]; then raw "$1" "[$2, 0]"; else raw "$1" null; fi
}

cpu_features() {
    list=
    set -f
    for flag in $flags; do
        json_string "$flag"
        list="$list${list:+, }$json"
    done
    set +f
    members="\"flags\": [$list]"
    pair hz_actual "$actual_hertz"
    raw hz_actual_raw null
    pair hz_advertised "$hertz"
    raw hz_advertised_raw null
    number l1_data_cache_size "$l1d"
    number l1_instruction_cache_size "$l1i"
    number l2_cache_size "$l2"
    number l3_cache_size "$l3"
    features="{$members}"
}

# What numpy asks of x86 only.
x86_type() {
    for pair in has_3dnow:3dnow has_3dnowext:3dnowext has_mmx:mmx has_sse:sse has_sse2:sse2 has_sse3:pni \
        has_ssse3:ssse3; do
        has "$flags" "${pair#*:}" && raw "${pair%%:*}" $json
    done
    like "$vendor" AuthenticAMD && raw is_AMD $json
    like "$vendor" GenuineIntel && raw is_Intel $json
    like "$vendor$family" GenuineIntel5 && raw is_i586 $json
    like "$vendor$family" GenuineIntel6 && raw is_i686 $json
    like "$vendor$family" AuthenticAMD15 && raw is_AMD64 $json
    for pair in Athlon64:'*Athlon*64*' AthlonHX:'*Athlon*HX*' AthlonK7:'*AMD-K7*' AthlonMP:'*Athlon*MP*' \
        Celeron:'*Celeron*' Core2:'*Core*2*' Hammer:'*Hammer*' Opteron:'*Opteron*' Pentium:'*Pentium*' \
        XEON:'*[Xx][Ee][Oo][Nn]*' Xeon:'*Xeon*'; do
        like "$brand" "${pair#*:}" && raw "is_${pair%%:*}" $json
    done
    for name in AthlonK6 AthlonK6_2 AthlonK6_3 Nocona PentiumII PentiumIII PentiumIV PentiumM PentiumMMX \
        PentiumPro Prescott; do
        raw "is_$name" false
    done
}

cpu_type() {
    members=
    case $machine in
        x86_64 | i?86)
            set -f
            x86_type
            set +f
            ;;
    esac
    for name in has_Altivec has_f00f_bug has_fdiv_bug is_Alpha is_EV4 is_EV5 is_EV56 is_Itanium is_PCA56 is_Power \
        is_Power7 is_Power8 is_Power9 is_i386 is_i486 not_impl try_call; do
        raw $name null
    done
    like "$bits" 32 && raw is_32bit $json
    like "$bits" 64 && raw is_64bit $json
    like "$count" 1 && raw is_singleCPU $json
    member nbits "$bits"
    number ncpus "$count"
    type="{$members}"
}

platform() {
    members=
    json_string "${bits:+${bits}bit}"
    raw architecture "[$json, \"\"]"
    member machine "$machine"
    first_line "$proc"/sys/kernel/hostname && member node "$value"
    first_line "$proc"/sys/kernel/osrelease && member release "$value"
    member platform "Linux-$value-$machine"
    member processor "$machine"
    first_line "$proc"/sys/kernel/version && member version "$value"
    platform="{$members}"
}

memory() {
    total='' free='' available='' swap=''
    [ ! -r "$proc"/meminfo ] || while read -r name value _; do
        case $name in
            MemTotal:) total=$((value * 1024)) ;;
            MemFree:) free=$((value * 1024)) ;;
            MemAvailable:) available=$((value * 1024)) ;;
            SwapTotal:) swap=$((value * 1024)) && break ;;
        esac
    done <"$proc"/meminfo
    members=
    number total_bytes "$total"
    number available_bytes "$available"
    number free_bytes "$free"
    number swap_bytes "$swap"
    memory="{$members}"
}

gpus() {
    gpus=
    for gpu in "$proc"/driver/nvidia/gpus/*/information; do
        [ -r "$gpu" ] || continue
        product='' uuid='' bus=''
        while IFS=: read -r name rest; do
            trim "$rest"
            case $name in
                Model*) product=$value ;;
                'GPU UUID'*) uuid=$value ;;
                'Bus Location'*) bus=$value ;;
            esac
        done <"$gpu"
        members=
        member vendor nvidia.com/gpu
        member product "$product"
        member uuid "$uuid"
        member bus "$bus"
        gpus="$gpus${gpus:+, }{$members}"
    done
}

# The limits of the container that this runs in: cgroups version 2, else version 1. `max`, and what version 1 has for
# it (-1, or more bytes than there are), are null.
cgroup() {
    version='' quota='' period='' limit='' pids=''
    if [ -r "$groups"/cgroup.controllers ]; then
        version=2
        [ ! -r "$groups"/cpu.max ] || read -r quota period <"$groups"/cpu.max
        first_line "$groups"/memory.max && limit=$value
        first_line "$groups"/pids.max && pids=$value
    elif [ -d "$groups"/memory ]; then
        version=1
        first_line "$groups"/cpu/cpu.cfs_quota_us && quota=$value
        first_line "$groups"/cpu/cpu.cfs_period_us && period=$value
        first_line "$groups"/memory/memory.limit_in_bytes && limit=$value
        first_line "$groups"/pids/pids.max && pids=$value
        [ ${#limit} -lt 19 ] || limit=
    fi
    members=
    number version "$version"
    case $quota$period in
        '' | *[!0-9]*) raw cpu_limit null ;;
        *) thousandths=$((quota * 1000 / period % 1000 + 1000)) &&
            raw cpu_limit "$((quota / period)).${thousandths#1}" ;;
    esac
    number memory_limit_bytes "$limit"
    number pids_limit "$pids"
    cgroup="{$members}"
}

describe() {
    machine
    read_cpuinfo
    count_cpus
    count_cores
    read_caches
    frequency "$mhz"
    actual_hertz=$hertz actual_friendly=$friendly
    advertised
    cpu_info
    cpu_features
    cpu_type
    platform
    memory
    gpus
    cgroup
}

(
    programs=${0%hwinfo.sh}
    set -- "${1%/*}/python" -I -S -B "${programs}runner.py" --try
    . "${programs}python.sh"
) &
search=$!
describe 2>/dev/null
document="{\"cpu_features\": ${features:-null}, \"cpu_info\": ${info:-null}, \"cpu_type\": ${type:-null}, \
\"platform\": ${platform:-null}, \"memory\": ${memory:-null}, \"gpus\": [$gpus], \"cgroup\": ${cgroup:-null}}"

# Whoever finds the file finds all of it. Some images have no mv.
{
    printf '%s\n' "$document" >"$1.new" && mv -f "$1.new" "$1" || printf '%s\n' "$document" >"$1"
} 2>/dev/null
[ ! -w "${3-}" ] || printf '{"cpu_info": %s, "gpus": [%s]}' "${info:-null}" "$gpus" >"$3"
wait $search
exit 0
