#!/bin/sh
# An agent made of curl: calls OpenAI until it is refused or has made all its calls.
number=0
while [ "$number" -lt "$CALLS" ]; do
    number=$((number + 1))
    status=$(curl -sS -o /tmp/answer -w '%{http_code}' "${OPENAI_BASE_URL:-https://api.openai.com/v1}/chat/completions" \
        -H 'authorization: Bearer sk-agent' -H 'content-type: application/json' \
        -H "x-sim-label: $LABEL" -H "x-sim-output-tokens: ${TOKENS:-200}" \
        -d "{\"model\":\"${MODEL:-gpt-4o}\",\"max_tokens\":${TOKENS:-200},\"messages\":[{\"role\":\"user\",\"content\":\"Sort letter $number.\"}]}" 2>/tmp/error)
    ended=$?
    echo "{\"status\": ${status:-0}, \"curl\": $ended}"
    [ "$status" = 200 ] || { cat /tmp/error >&2; break; }
done
sleep "${LINGER:-0}"
