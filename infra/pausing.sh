# What infra/pause and infra/resume have in common; they define `help`. It reads the stack's name, and finds its ledger and functions.

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

case ${1-} in
    -h | --help) help; exit ;;
    "" | -*) help >&2; exit 2 ;;
esac
[ $# = 1 ] || { help >&2; exit 2; }
stack=$1
command -v aws > /dev/null || fail "the AWS CLI is not installed: there is no command \`aws\`"

outputs=$(aws cloudformation describe-stacks --stack-name "$stack" --output text --query 'Stacks[0].Outputs[].[OutputKey, OutputValue]')

output() {
    found=$(printf '%s\n' "$outputs" | awk -F '\t' -v key="$1" '$1 == key { print $2 }')
    [ -n "$found" ] || fail "the stack $stack has no output $1: is it a Moondrop stack, deployed by this release or a later one?"
    printf '%s\n' "$found"
}

table=$(output LedgerTable)
submit=$(output SubmitFunctionName)
collect=$(output CollectFunctionName)
paused='{"pk": {"S": "STACK"}, "sk": {"S": "PAUSED"}}'

# The mappings of both functions to their queues that are not in this state: a line each, with id and state.
mappings_not() {
    for function in "$submit" "$collect"; do
        found=$(aws lambda list-event-source-mappings --function-name "$function" --output text \
            --query 'EventSourceMappings[].[UUID, State]') || exit
        [ -n "$found" ] || fail "$function has no event source mapping: deploy the stack again"
        printf '%s\n' "$found" | awk -v state="$1" '$2 != state'
    done
}

# ask --enabled Enabled, or --no-enabled Disabled: what is neither now is being changed, and Lambda refuses to change it once more.
ask() {
    left=$(mappings_not "$2")
    for mapping in $(printf '%s\n' "$left" | awk '$2 == "Enabled" || $2 == "Disabled" { print $1 }'); do
        aws lambda update-event-source-mapping --uuid "$mapping" "$1" --output text --query State > /dev/null
    done
}

# As ask, until it is so: Lambda takes up to a minute.
settle() {
    tries=0
    ask "$@"
    while [ -n "$left" ]; do
        [ "$tries" -lt 90 ] || fail "after three minutes this mapping is still not $2, do it again: $left"
        sleep 2
        tries=$((tries + 1))
        ask "$@"
    done
}
