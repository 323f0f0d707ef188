# shellcheck shell=bash
# Turn "--foo-bar x", "--foo_bar x" and "--foo-bar=x" into foo_bar=x; sourced after the defaults are set.
#
#   stage=0 llm="" force=false     # the defaults; one of true or false takes only true or false
#   . parse_options.sh
#
# An option is a name that the header comment of the script lists at the start of a line ("#   --llm NAME ...",
# "#   --stage N, --stop_stage N ...") and that has a default. No other variable can be set from
# outside. Where the header has N for the value it must be a whole number, where it has choices ("full|10h|1h")
# one of them. --help prints the header.

# Print an error that names the script, and stop.
die() {
    echo "./${0##*/}: $*" >&2
    exit 1
}

# Print the comment at the top of the script, without "# ".
show_header() {
    local line number=0
    while IFS= read -r line && [ "${line:0:1}" = "#" ]; do
        number=$((number + 1))
        line=${line#\#}
        [ "${number}" -eq 1 ] || printf '%s\n' "${line# }"
    done <"$([ -f "$0" ] && echo "$0" || echo "./${0##*/}")" # after cd, "egs/mls/run.sh" is ./run.sh
}

# Print the options, one a line, each with what stands for its value: those left of the first double blank of a header line.
list_options() {
    local line word words i
    while IFS= read -r line; do
        if [[ ${line} =~ ^\ +-- ]]; then
            line=${line#"${line%%[! ]*}"}
            read -ra words <<<"${line%%  *}"
            for i in "${!words[@]}"; do
                word=${words[i + 1]-}
                if [[ ${words[i]} =~ ^--([a-z][a-z0-9_-]*),?$ ]]; then echo "${BASH_REMATCH[1]//-/_} ${word%,}"; fi
            done
        fi
    done < <(show_header)
}

# Succeed if $1 is a name from list_options that has a default.
is_option() {
    [[ ${known_options} == *$'\n'"$1 "* && -n ${!1+set} ]]
}

# Stop if value $2 is not of the form that the header has for option $1; an empty one stands for the default.
check_value() {
    local form=${known_options#*$'\n'"$1 "}
    form=${form%%$'\n'*}
    if [ "${form}" = N ]; then
        [[ $2 =~ ^[0-9]*$ ]] || die "option '--$1' should be a whole number, got '$2'"
    elif [[ ${form} =~ ^[a-z0-9]+(\|[a-z0-9]+)+$ ]]; then
        [[ -z $2 || "|${form}|" == *"|$2|"* ]] || die "option '--$1' should be one of ${form//|/, }, got '$2'"
    fi
}

known_options=$'\n'$(list_options)$'\n'
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            show_header
            exit 0
            ;;
        --?*) ;;
        *) die "no such argument '$1'; see --help" ;;
    esac
    option_flag=${1%%=*}
    option_name=${option_flag#--}
    option_name=${option_name//-/_}
    is_option "${option_name}" || die "no such option '${option_flag}'; see --help"
    if [[ $1 == *=* ]]; then
        option_value=${1#*=}
        shift
    else
        next_name=${2-} # another option in the place of a value means that the value was forgotten
        next_name=${next_name#--}
        if [ $# -lt 2 ] || { [[ $2 == --* ]] && is_option "${next_name//-/_}"; }; then
            die "option '$1' needs a value; see --help"
        fi
        option_value=$2
        shift 2
    fi
    case ${!option_name} in
        true | false)
            [[ ${option_value} =~ ^(true|false)$ ]] ||
                die "option '${option_flag}' should be true or false, got '${option_value}'"
            ;;
    esac
    check_value "${option_name}" "${option_value}"
    printf -v "${option_name}" '%s' "${option_value}"
done
unset known_options option_flag option_name option_value next_name
